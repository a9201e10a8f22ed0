// The order of waiting jobs that need the same and count for the same user.
//
// A job's priority grows with its age, by one in each OrderPolicy::ageing, so
// that nothing starves. The difference between two jobs never changes then, so
// one number says for good which goes first:
//
//   rank = submit time − priority × ageing
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::core {

struct OrderPolicy {
  // By which a job's priority has grown by one. At most kNeverAges.
  absl::Duration ageing = absl::Minutes(10);
  // In which what an account has used counts half.
  absl::Duration half_life = absl::Hours(24);
  // A job that needs several devices waits so long for luck before free ones
  // are kept for it.
  absl::Duration reserve_after = absl::Minutes(5);
};
// In microseconds and times the highest priority, it fits a rank.
inline constexpr absl::Duration kNeverAges = absl::Hours(24 * 365 * 100);

struct QueueKey {
  int64_t rank = 0;  // microseconds
  JobId job;

  // a < b: a is placed before b.
  friend auto operator<=>(const QueueKey&, const QueueKey&) = default;
};

// A job that goes back to the queue keeps its age: it is submitted once.
QueueKey MakeQueueKey(int32_t priority, absl::Time submit_time, JobId job,
                      absl::Duration ageing);

// The priority that a job of this rank has grown to, rounded down.
int64_t AgedPriority(int64_t rank, absl::Time now, absl::Duration ageing);

}  // namespace trainyard::core
