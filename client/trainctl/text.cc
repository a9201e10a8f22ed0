#include "client/trainctl/text.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trainyard::trainctl {
namespace {

bool StartsCodePoint(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

const char* Code(Colour colour) {
  switch (colour) {
    case Colour::kRed:
      return "31";
    case Colour::kGreen:
      return "32";
    case Colour::kYellow:
      return "33";
    case Colour::kBlue:
      return "34";
    case Colour::kMagenta:
      return "35";
    case Colour::kDim:
      return "2";
    case Colour::kNone:
      break;
  }
  return "0";
}

}  // namespace

std::string Paint(absl::string_view text, Colour colour) {
  if (colour == Colour::kNone) return std::string(text);
  return absl::StrCat("\x1b[", Code(colour), "m", text, "\x1b[0m");
}

std::string Printable(absl::string_view text) {
  std::string safe;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == 0x7f) {
      safe += "^?";
    } else if (c < 0x20 && c != '\t') {
      safe += '^';
      safe += static_cast<char>(c + 0x40);
    } else if (c == 0xc2 && i + 1 < text.size() &&
               static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      // U+0080 to U+009F: terminals may take them for escape sequences too.
      safe += '?';
      ++i;
    } else {
      safe += text[i];
    }
  }
  return safe;
}

size_t DisplayWidth(absl::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), StartsCodePoint));
}

std::string Shorten(absl::string_view text, size_t columns) {
  if (DisplayWidth(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  size_t seen = 0;
  size_t end = 0;
  for (; end < text.size(); ++end) {
    if (StartsCodePoint(text[end]) && seen++ == columns - 1) break;
  }
  return absl::StrCat(text.substr(0, end), "…");
}

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(
      0, absl::ToInt64Seconds(duration + absl::Milliseconds(500)));
  const int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  if (minutes == 0) return absl::StrFormat("%ds", seconds);
  if (hours == 0) return absl::StrFormat("%dm%02ds", minutes, seconds % 60);
  if (days == 0) return absl::StrFormat("%dh%02dm", hours, minutes % 60);
  return absl::StrFormat("%dd%02dh", days, hours % 24);
}

std::string ShortNumber(double value) {
  if (!std::isfinite(value) || std::fabs(value) >= 1e15) {
    return absl::StrFormat("%g", value);
  }
  if (std::fabs(value) < 100) return absl::StrFormat("%.1f", value);
  std::string digits = absl::StrFormat("%.0f", value);
  const size_t first = value < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

absl::Time ToTime(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) +
         absl::Nanoseconds(proto.nanos());
}

}  // namespace trainyard::trainctl
