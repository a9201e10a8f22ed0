// Who has to make room for a waiting job that comes first and fits nowhere.
//
//   while (true) {
//     std::vector<Record> records = Preempt(cluster, policy, now);
//     if (records.empty()) break;
//     for (const Record& record : records) … cluster.Apply(record) …
//   }
//
// Room is made on one worker, and once on each at most for the same wait: that,
// and that victims rank strictly lower, is why preemption comes to an end.
//
// Pure: the cluster is only read.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/record.h"

namespace trainyard::core {

struct PreemptionPolicy {
  // Attempts of jobs with a lower priority stop, by the priorities that were
  // asked for: age does not count.
  bool by_priority = true;
  // So do attempts with the same priority of queues whose share for their
  // weight is more than kUnfair times that of the waiting job's queue, where it
  // stays no smaller than that one's after the exchange.
  bool by_share = false;
  // Not for so long after an attempt was placed.
  absl::Duration min_run_time = absl::Minutes(1);
  // Attempts that are stopping for others at a time. A job that needs more than
  // that of them to stop waits until none is. 0: nothing is preempted.
  uint32_t max_at_once = 4;
  // What an attempt has to stop by itself; then it is cancelled.
  absl::Duration grace = absl::Minutes(5);

  static constexpr double kUnfair = 2;
};

// An AttemptPreempted for each attempt that is to make room for the first
// waiting job, in the order of placement, that the placement pass before found
// no place for though its quota has room, and that somebody can make room for.
// Of the ways to do so that with the fewest attempts, of those with the lowest
// priority, of those with the youngest. Empty: there is none.
std::vector<Record> Preempt(const Cluster& cluster,
                            const PreemptionPolicy& policy, absl::Time now);

}  // namespace trainyard::core
