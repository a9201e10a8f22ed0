#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "base/status_macros.h"
#include "client/trainctl/command.h"
#include "client/trainctl/follow_job.h"
#include "client/trainctl/job_text.h"
#include "client/watch.h"

namespace trainyard::trainctl {
namespace {

struct Options {
  std::string job;
};

// Looks for Ctrl-C while a call blocks, and cancels it.
class InterruptWatch {
 public:
  InterruptWatch(const Console& console, client::CancelToken* cancel)
      : thread_([this, &console, cancel] {
          while (
              !done_.WaitForNotificationWithTimeout(absl::Milliseconds(100))) {
            if (console.interrupted()) return cancel->Cancel();
          }
        }) {}
  ~InterruptWatch() {
    done_.Notify();
    thread_.join();
  }

 private:
  absl::Notification done_;
  std::thread thread_;
};

// Every change of every job, until Ctrl-C.
absl::StatusOr<ExitCode> WatchAll(Context& context) {
  context.console.interrupted();
  client::CancelToken cancel;
  const InterruptWatch interrupt(context.console, &cancel);
  client::FollowOptions follow;
  follow.cancel = &cancel;
  follow.on_break =
      [&](const absl::Status& why, absl::Duration) {
        *context.console.err
            << "connection lost ("
            << Printable(ExplainConnectionError(std::string(why.message())))
            << "); trying again\n";
      };
  std::map<std::string, v1::Job> known;  // those not final: bounded by them
  std::ostream& out = *context.console.out;
  const absl::Status status = client::WatchJobs(
      context.client, v1::WatchJobsRequest(), follow, [&](const v1::Job& job) {
        if (context.format == OutputFormat::kTable) {
          out << JobChange(known[job.name()], job, absl::LocalTimeZone(),
                           PaintsOut(context.console));
        } else {
          out << FormatJsonItem(ToJson(job), context.format);
        }
        out.flush();
        known[job.name()] = job;
        if (IsFinal(job.state())) known.erase(job.name());
        return out.good();
      });
  if (cancel.cancelled()) return kDetached;
  RETURN_IF_ERROR(status);
  return kOk;
}

absl::StatusOr<ExitCode> Run(Context& context, const Options& options) {
  if (options.job.empty()) return WatchAll(context);
  ASSIGN_OR_RETURN(const std::string name, JobName(options.job));
  return FollowJob(context, name, /*history=*/false);
}

}  // namespace

CommandRun AddWatch(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("job", options->job,
                 "17 or jobs/17; without it every change of every job");
  return [options](Context& context) { return Run(context, *options); };
}

}  // namespace trainyard::trainctl
