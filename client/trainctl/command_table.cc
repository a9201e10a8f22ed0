#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/job_text.h"

namespace trainyard::trainctl {

absl::Span<const Command> CommandTable() {
  static constexpr Command kCommands[] = {
      {"submit", "Submit a job from a file or from flags", AddSubmit},
      {"list", "List jobs, newest first", AddList},
      {"get", "Show one job", AddGet},
      {"watch", "Follow a job to its end, or all jobs", AddWatch},
      {"logs", "Show the lines a job printed", AddLogs},
      {"metrics", "Show the measurements of a job", AddMetrics},
      {"top", "Watch workers, running and next jobs in the terminal", AddTop},
      {"cancel", "Cancel jobs", AddCancel},
      {"workers", "List workers and their devices", AddWorkers},
      {"drain", "Take a worker out of service or back in", AddDrain},
      {"queue", "Look at queues and their shares, set them up", AddQueue},
      {"artifacts", "List, upload and download files and folders",
       AddArtifacts},
      {"cloud", "Estimate what work costs on cloud GPUs", AddCloud},
      {"tokens", "Make, list and revoke tokens", AddTokens},
      {"whoami", "Show what your token is", AddWhoAmI},
      {"setup", "Make CA, certificates and the first admin's token", AddSetup},
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

absl::Status CheckAttempt(Context& context, const std::string& job,
                          uint32_t attempt, bool waits) {
  if (attempt == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const v1::Job now, context.client.GetJob(job));
  const uint32_t newest =
      now.attempts().empty() ? 0 : now.attempts().rbegin()->number();
  if (attempt <= newest || (waits && !IsFinal(now.state()))) {
    return absl::OkStatus();
  }
  return absl::NotFoundError(absl::StrCat(
      job, " has no attempt ", attempt, ": ",
      newest == 0 ? "it has not been placed"
                  : absl::StrCat("its newest is attempt ", newest)));
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
