// The command line of trainyard-runner.
//
//   ASSIGN_OR_RETURN(Options options, ParseOptions(argc, argv));
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/runner/predict.h"

namespace trainyard::runner {

enum class Mode { kRun, kPredict, kVersion, kHelp };

struct Options {
  Mode mode = Mode::kRun;
  std::string spec;
  int events_fd = 3;
  int commands_fd = 4;  // -1: none
  PredictOptions predict;
};

// `arguments` without the program's name. INVALID_ARGUMENT names the wrong one.
absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments);

const char* UsageText();

}  // namespace trainyard::runner
