#include "workers/runner/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace trainyard::runner {
namespace {

constexpr size_t kLongestName = 64;

// Levenshtein's distance, one row at a time.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(absl::string_view typed,
                        const std::vector<std::string>& names) {
  if (typed.empty() || typed.size() > kLongestName) return "";
  size_t best = std::max<size_t>(2, typed.size() / 3) + 1;
  std::string nearest;
  for (const std::string& name : names) {
    const size_t distance = EditDistance(typed, name);
    if (distance < best) {
      best = distance;
      nearest = name;
    }
  }
  return nearest;
}

std::string Suggestion(absl::string_view typed,
                       const std::vector<std::string>& names) {
  const std::string nearest = NearestName(typed, names);
  return absl::StrCat(
      nearest.empty() ? "" : absl::StrCat("; did you mean \"", nearest, "\"?"),
      " (known: ", absl::StrJoin(names, ", "), ")");
}

}  // namespace trainyard::runner
