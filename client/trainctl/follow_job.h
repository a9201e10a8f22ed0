// What submit --follow and watch do once they have a job's name.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/trainctl/command.h"

namespace trainyard::trainctl {

// Follows the job, says how it ended, or after Ctrl-C how to come back. With
// JSON and YAML the job as it stands is printed at the end, the rest goes to
// stderr. Returns the job's exit status.
absl::StatusOr<ExitCode> FollowJob(Context& context, const std::string& job,
                                   bool history);

}  // namespace trainyard::trainctl
