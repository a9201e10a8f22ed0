// The waiting jobs in a few figures, for autoscaling and alerts. Costs lanes
// and priorities, not jobs. Pure.
//
//   const QueueSummary summary = Summarize(cluster, now);
#pragma once

#include <array>
#include <cstdint>

#include "absl/time/time.h"
#include "server/core/cluster.h"

namespace trainyard::core {

struct QueueSummary {
  // Of the job that has been in the queue longest. Zero: none waits.
  absl::Duration oldest_wait = absl::ZeroDuration();
  // By DeviceKind: devices that the jobs would take, by the first kind that
  // each asks for.
  std::array<uint64_t, 4> wanted_devices = {};
};

// Of the jobs that may be placed; those in their backoff do not wait.
QueueSummary Summarize(const Cluster& cluster, absl::Time now);

}  // namespace trainyard::core
