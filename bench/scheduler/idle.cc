// What connected workers cost the server: each with its own connection,
// heartbeats, and one job that sends a point a second.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "bench/rpc/loopback.h"
#include "bench/rpc/server_process.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"
#include "bench/scheduler/sim_fleet.h"
#include "bench/scheduler/submitter.h"

namespace trainyard::bench {
namespace {

constexpr double kWorkers = 10'000;
constexpr absl::Duration kPatience = absl::Minutes(3);
// Between the last start and the measurement: all send by then.
constexpr absl::Duration kSettle = absl::Seconds(3);
// Files that are no connections.
constexpr int kOtherFiles = 512;

// One for each worker, as far as the limit on open files goes; the server
// inherits it.
int ConnectionsFor(int workers) {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return workers;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const auto room =
      static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
  return static_cast<int>(std::clamp<int64_t>(room - kOtherFiles, 1, workers));
}

}  // namespace

absl::Status RunIdle(const SchedulerFlags& flags) {
  const int workers = flags.Scaled(kWorkers, 20);
  const int connections = ConnectionsFor(workers);
  const absl::Duration window =
      flags.scale >= 0.1 ? absl::Seconds(20) : absl::Seconds(2);
  const Folder folder(flags.folder);
  ASSIGN_OR_RETURN(const auto server,
                   ServerProcess::Start(flags.server,
                                        absl::StrCat(folder.path(), "/state")));
  ASSIGN_OR_RETURN(
      const auto fleet,
      SimFleet::Start(server->address(), {.workers = workers,
                                          .connections = connections,
                                          .end_at_once = false,
                                          .telemetry = true}));
  RETURN_IF_ERROR(fleet->WaitUntilTold(kPatience));
  ASSIGN_OR_RETURN(const Channels channels, Connect(server->address(), 1));
  RETURN_IF_ERROR(Submitter(channels[0]).SubmitMany(workers));
  RETURN_IF_ERROR(
      fleet->WaitForStarts(static_cast<uint64_t>(workers), kPatience));
  absl::SleepFor(kSettle);
  const SimFleetCounts before = fleet->counts();
  ASSIGN_OR_RETURN(const absl::Duration cpu, CpuTimeOf(server->pid()));
  ASSIGN_OR_RETURN(const absl::Duration own_cpu, CpuTimeOf(getpid()));
  const absl::Time begin = absl::Now();
  absl::SleepFor(window);
  const SimFleetCounts after = fleet->counts();
  ASSIGN_OR_RETURN(const absl::Duration cpu_after, CpuTimeOf(server->pid()));
  ASSIGN_OR_RETURN(const absl::Duration own_cpu_after, CpuTimeOf(getpid()));
  const absl::Duration taken = absl::Now() - begin;
  ASSIGN_OR_RETURN(const double resident, ResidentBytesOf(server->pid()));
  const double seconds = absl::ToDoubleSeconds(taken);
  Print("idle_workers_cpu_cores",
        absl::ToDoubleSeconds(cpu_after - cpu) / seconds, "cores",
        {{"workers", workers},
         {"connections", connections},
         {"points_per_second",
          static_cast<double>(after.points - before.points) / seconds},
         {"reports_per_second",
          static_cast<double>(after.reports - before.reports) / seconds},
         {"workers_cpu_cores",
          absl::ToDoubleSeconds(own_cpu_after - own_cpu) / seconds},
         {"server_bytes", resident}});
  return absl::OkStatus();
}

}  // namespace trainyard::bench
