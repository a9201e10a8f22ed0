// Figures, times and foreign text as trainctl shows them. Pure.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/timestamp.pb.h"

namespace trainyard::trainctl {

enum class Colour { kNone, kRed, kGreen, kYellow, kBlue, kMagenta, kDim };

// The text between ANSI codes; unchanged for kNone.
std::string Paint(absl::string_view text, Colour colour);

// Text from a server, a job or a file name, safe on a terminal: control
// characters and escape sequences are shown as ^[ and the like. Tabs stay.
std::string Printable(absl::string_view text);

// Columns it takes: code points.
size_t DisplayWidth(absl::string_view text);
// Cut to so many columns, with "…" at the end.
std::string Shorten(absl::string_view text, size_t columns);

// "42s", "3m05s", "1h02m", "3d04h".
std::string ShortDuration(absl::Duration duration);
// 12345.6 as "12,346"; below 100 with one digit after the point.
std::string ShortNumber(double value);

absl::Time ToTime(const google::protobuf::Timestamp& proto);

}  // namespace trainyard::trainctl
