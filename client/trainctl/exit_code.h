// What trainctl's exit status means; the table is in `trainctl --help`.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::trainctl {

// Scripts rely on them: never renumber.
enum ExitCode : int {
  kOk = 0,
  kJobFailed = 1,
  kBadInput = 2,
  kUnreachable = 3,
  kNotFound = 4,
  kJobCancelled = 5,
  kRefused = 6,
  kDetached = 130,
};

ExitCode ExitCodeOf(const absl::Status& status);
// Of a job in a final state; kOk for any other.
ExitCode ExitCodeOf(const v1::Job& job);

// One line per code, for --help.
std::string ExitCodeHelp();

}  // namespace trainyard::trainctl
