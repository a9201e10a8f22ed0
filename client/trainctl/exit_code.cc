#include "client/trainctl/exit_code.h"

namespace trainyard::trainctl {

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kBadInput;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnreachable;
    case absl::StatusCode::kNotFound:
      return kNotFound;
    default:
      return kRefused;
  }
}

ExitCode ExitCodeOf(const v1::Job& job) {
  switch (job.state()) {
    case v1::Job::STATE_FAILED:
      return kJobFailed;
    case v1::Job::STATE_CANCELLED:
      return kJobCancelled;
    default:
      return kOk;
  }
}

std::string ExitCodeHelp() {
  return "Exit status:\n"
         "  0    done; with submit --follow and watch: the job succeeded\n"
         "  1    the job failed\n"
         "  2    bad usage, job file or value\n"
         "  3    the server cannot be reached\n"
         "  4    no such job, worker, artifact or file\n"
         "  5    the job was cancelled\n"
         "  6    the server refused, or something else went wrong\n"
         "  130  detached by Ctrl-C; the job goes on\n";
}

}  // namespace trainyard::trainctl
