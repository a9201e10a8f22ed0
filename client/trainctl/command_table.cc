#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/trainctl/command.h"

namespace trainyard::trainctl {

absl::Span<const Command> CommandTable() {
  static constexpr Command kCommands[] = {
      {"submit", "Submit a job from a file or from flags", AddSubmit},
      {"list", "List jobs, newest first", AddList},
      {"get", "Show one job", AddGet},
      {"watch", "Follow a job to its end, or all jobs", AddWatch},
      {"logs", "Show the lines a job printed", AddLogs},
      {"metrics", "Show the measurements of a job", AddMetrics},
      {"cancel", "Cancel jobs", AddCancel},
      {"workers", "List workers and their devices", AddWorkers},
      {"drain", "Take a worker out of service or back in", AddDrain},
      {"artifacts", "List, upload and download files and folders",
       AddArtifacts},
      {"version", "Show the versions of trainctl and of the server",
       AddVersion},
      {"completion", "Print a completion script for a shell", AddCompletion},
  };
  return kCommands;
}

absl::StatusOr<std::string> JobName(const std::string& text) {
  uint64_t number = 0;
  if (absl::SimpleAtoi(absl::StripPrefix(text, "jobs/"), &number) &&
      number > 0) {
    return absl::StrCat("jobs/", number);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("job \"", text, "\": must be such as 17 or jobs/17"));
}

absl::StatusOr<std::string> WorkerName(const std::string& text) {
  const std::string name(absl::StripPrefix(text, "workers/"));
  if (!name.empty() && name.size() <= 63 &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") ==
          std::string::npos) {
    return absl::StrCat("workers/", name);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "worker \"", text,
      "\": must be 1 to 63 lower-case letters, digits and '-', such as mini or "
      "workers/mini"));
}

}  // namespace trainyard::trainctl
