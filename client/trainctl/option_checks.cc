#include "client/trainctl/option_checks.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

// `is_good` of the value as it was given; `want` is what would be right.
template <typename IsGood>
CLI::Validator Check(const std::string& shown, const std::string& want,
                     IsGood is_good) {
  return CLI::Validator(
      [want, is_good](std::string& value) {
        return is_good(value) ? std::string()
                              : absl::StrCat(value, ": must be ", want);
      },
      shown);
}

}  // namespace

CLI::Validator WholeNumber(uint64_t least, uint64_t most) {
  const std::string range = absl::StrCat(least, " to ", most);
  return Check(range, absl::StrCat("a whole number from ", range),
               [least, most](const std::string& value) {
                 uint64_t number = 0;
                 return absl::SimpleAtoi(value, &number) && number >= least &&
                        number <= most;
               });
}

CLI::Validator RealNumber(double least, double most) {
  const std::string range = absl::StrCat(least, " to ", most);
  return Check(range, absl::StrCat("a number from ", range),
               [least, most](const std::string& value) {
                 double number = 0;
                 return absl::SimpleAtod(value, &number) && number >= least &&
                        number <= most;
               });
}

CLI::Validator OneOf(const std::vector<std::string>& names) {
  std::string list = absl::StrJoin(names, ", ");
  if (const size_t last = list.rfind(", "); last != std::string::npos) {
    list.replace(last, 2, " or ");
  }
  return Check(list, list, [names](const std::string& value) {
    return std::find(names.begin(), names.end(), value) != names.end();
  });
}

}  // namespace trainyard::trainctl
