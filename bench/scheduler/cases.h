// The benchmark's cases, one function and one file each; bench/README.md says
// what each prints.
#pragma once

#include <algorithm>
#include <string>

#include "absl/status/status.h"

namespace trainyard::bench {

struct SchedulerFlags {
  std::string server;  // path of trainyard-server
  std::string folder;  // the server's state goes below it
  double scale = 1;    // of all sizes
  int devices = 8;     // of each simulated worker of the no-op case
  int rounds = 3;

  // A size of full scale, at least `least`.
  int Scaled(double full, int least) const {
    return std::max(least, static_cast<int>(full * scale));
  }
};

// noop_jobs_per_second
absl::Status RunNoop(const SchedulerFlags& flags);
// submit_to_worker_p50_seconds, submit_to_worker_p99_seconds
absl::Status RunLatency(const SchedulerFlags& flags);
// bytes_per_queued_job, restart_with_1m_jobs_seconds
absl::Status RunQueued(const SchedulerFlags& flags);
// placement_seconds
absl::Status RunPlacement(const SchedulerFlags& flags);
// idle_workers_cpu_cores
absl::Status RunIdle(const SchedulerFlags& flags);
// kueue_replay_ratio
absl::Status RunKueue(const SchedulerFlags& flags);

}  // namespace trainyard::bench
