// From the call of SubmitJob to the worker's stream having the attempt, with
// all of the fleet idle.
#include <atomic>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "bench/rpc/loopback.h"
#include "bench/rpc/server_process.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"
#include "bench/scheduler/sim_fleet.h"
#include "bench/scheduler/submitter.h"

namespace trainyard::bench {
namespace {

constexpr int kWorkers = 64;
constexpr double kJobs = 2000;
constexpr int kWarmUp = 20;  // jobs
constexpr absl::Duration kPatience = absl::Seconds(60);

using Clock = std::chrono::steady_clock;

}  // namespace

absl::Status RunLatency(const SchedulerFlags& flags) {
  const Folder folder(flags.folder);
  ASSIGN_OR_RETURN(const auto server,
                   ServerProcess::Start(flags.server,
                                        absl::StrCat(folder.path(), "/state")));
  ASSIGN_OR_RETURN(const Channels channels, Connect(server->address(), 1));
  // Written by the fleet's thread before it counts the attempt.
  std::atomic<Clock::time_point> arrival = Clock::time_point();
  ASSIGN_OR_RETURN(
      const auto fleet,
      SimFleet::Start(
          server->address(),
          {.workers = kWorkers,
           .on_attempt = [&arrival](Clock::time_point at) { arrival = at; }}));
  RETURN_IF_ERROR(fleet->WaitUntilTold(kPatience));
  Submitter submitter(channels[0]);
  std::vector<double> seconds;
  const int jobs = flags.Scaled(kJobs, 50) + kWarmUp;
  for (int i = 1; i <= jobs; ++i) {
    const auto begin = Clock::now();
    RETURN_IF_ERROR(submitter.SubmitOne());
    RETURN_IF_ERROR(fleet->WaitForStarts(static_cast<uint64_t>(i), kPatience));
    if (i > kWarmUp) {
      seconds.push_back(
          std::chrono::duration<double>(arrival.load() - begin).count());
    }
    // Idle again before the next.
    RETURN_IF_ERROR(fleet->WaitForEnds(static_cast<uint64_t>(i), kPatience));
  }
  const Details details = {{"jobs", jobs - kWarmUp}, {"workers", kWorkers}};
  Print("submit_to_worker_p50_seconds", Quantile(seconds, 0.5), "s", details);
  Print("submit_to_worker_p99_seconds", Quantile(seconds, 0.99), "s", details);
  return absl::OkStatus();
}

}  // namespace trainyard::bench
