// Sizes as people write them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard {

// "512", "8GiB", "1.5 GB", "100KiB" as bytes. INVALID_ARGUMENT names the text.
absl::StatusOr<uint64_t> ParseBytes(absl::string_view text);

// 1536 as "1.5 KiB", 0 as "0 B".
std::string FormatBytes(uint64_t bytes);

}  // namespace trainyard
