#include "client/trainctl/follow_job.h"

#include "base/status_macros.h"
#include "client/trainctl/follow.h"
#include "client/trainctl/job_text.h"
#include "client/trainctl/printer.h"

namespace trainyard::trainctl {

absl::StatusOr<ExitCode> FollowJob(Context& context, const std::string& job,
                                   bool history) {
  const bool table = context.format == OutputFormat::kTable;
  const FollowScreen screen = ScreenFor(context.console, table);
  Follower follower(context.client, context.console, screen);
  ASSIGN_OR_RETURN(const FollowEnd end, follower.Follow(job, history));
  if (end.detached) {
    *screen.out << "detached; " << job
                << " goes on. Come back with: trainctl watch " << job << "\n";
  } else {
    *screen.out << JobOutcome(end.job, screen.colour);
  }
  screen.out->flush();
  if (!table) {
    *context.console.out << FormatJson(ToJson(end.job), context.format);
  }
  return end.detached ? kDetached : ExitCodeOf(end.job);
}

}  // namespace trainyard::trainctl
