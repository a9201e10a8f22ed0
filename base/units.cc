#include "base/units.h"

#include <array>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trainyard {
namespace {

struct Unit {
  const char* name;
  double bytes;
};

constexpr std::array<Unit, 10> kUnits = {{{"", 1},
                                          {"B", 1},
                                          {"KB", 1e3},
                                          {"MB", 1e6},
                                          {"GB", 1e9},
                                          {"TB", 1e12},
                                          {"KiB", 1024.0},
                                          {"MiB", 1024.0 * 1024},
                                          {"GiB", 1024.0 * 1024 * 1024},
                                          {"TiB", 1024.0 * 1024 * 1024 * 1024}}};

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(absl::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  const size_t digits = trimmed.find_first_not_of("0123456789.");
  const absl::string_view number = trimmed.substr(0, digits);
  const absl::string_view suffix =
      digits == absl::string_view::npos
          ? absl::string_view()
          : absl::StripAsciiWhitespace(trimmed.substr(digits));
  double value = 0;
  if (absl::SimpleAtod(number, &value) && std::isfinite(value)) {
    for (const Unit& unit : kUnits) {
      // 2^63: far above any real size, and safely inside uint64_t.
      if (suffix == unit.name && value * unit.bytes < 9.2e18) {
        return static_cast<uint64_t>(std::llround(value * unit.bytes));
      }
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is no size: must be a number of bytes or one with KB, MB, GB, TB, KiB, MiB, "
      "GiB or TiB, such as 8GiB"));
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr std::array<const char*, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? absl::StrFormat("%d B", bytes)
                   : absl::StrFormat("%.1f %s", value, kNames[unit]);
}

}  // namespace trainyard
