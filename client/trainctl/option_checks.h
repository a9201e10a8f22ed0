// Checks of options' values. CLI11's own do not say what would be right.
//
//   app.add_option("--limit", limit)->check(WholeNumber(1, 1000));
//       → "--limit: 0: must be a whole number from 1 to 1000"
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"

namespace trainyard::trainctl {

CLI::Validator WholeNumber(uint64_t least, uint64_t most);
CLI::Validator RealNumber(double least, double most);
CLI::Validator OneOf(const std::vector<std::string>& names);

}  // namespace trainyard::trainctl
