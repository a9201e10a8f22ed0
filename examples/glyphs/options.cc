#include "examples/glyphs/options.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace trainyard::glyphs {
namespace {

absl::StatusOr<uint64_t> Number(const std::string& flag,
                                const std::string& value, uint64_t low,
                                uint64_t high) {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < low || number > high) {
    return absl::InvalidArgumentError(
        absl::StrCat(flag, " is \"", value, "\": must be a whole number from ",
                     low, " to ", high));
  }
  return number;
}

absl::Status Set(const std::string& flag, const std::string& value,
                 Options& options) {
  constexpr uint64_t kMaxSamples = 1000000;
  if (flag == "--out") {
    options.out = value;
  } else if (flag == "--train") {
    ASSIGN_OR_RETURN(const uint64_t number,
                     Number(flag, value, 1, kMaxSamples));
    options.train = static_cast<uint32_t>(number);
  } else if (flag == "--test") {
    ASSIGN_OR_RETURN(const uint64_t number,
                     Number(flag, value, 1, kMaxSamples));
    options.test = static_cast<uint32_t>(number);
  } else if (flag == "--seed") {
    ASSIGN_OR_RETURN(options.seed, Number(flag, value, 0, UINT64_MAX));
  } else if (flag == "--threads") {
    ASSIGN_OR_RETURN(const uint64_t number, Number(flag, value, 1, 256));
    options.threads = static_cast<unsigned>(number);
  } else {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown flag ", flag,
        ": must be one of --out, --train, --test, --seed, --threads, --gzip"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> ParseOptions(
    const std::vector<std::string>& arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (argument == "--gzip") {
      options.gzip = true;
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, " needs a value (see --help)"));
    }
    RETURN_IF_ERROR(Set(flag, value, options));
  }
  if (options.out.empty()) {
    return absl::InvalidArgumentError(
        "--out is missing: must name the folder to write to");
  }
  return options;
}

}  // namespace trainyard::glyphs
