// When a job is tried again after an attempt that did not succeed.
//
//   how it ended         uses up a retry   pause before the next attempt
//   user error           never retried
//   time limit           never retried
//   out of memory        yes               backoff, doubled for each failure
//   crash                yes               the same
//   infrastructure       yes               the same
//   unknown              yes               the same
//   lost with a worker   no                none; from the second loss in a row
//                                          on: backoff, doubled for each loss
//   preempted            no                none
//
// After a failure or a loss, another worker is taken where one fits. Losses in
// a row without a new checkpoint between are bounded by Policy::max_losses.
//
// Pure: the jitter comes from the attempt's key, so that a decision repeated is
// the same, and a thousand jobs that failed together do not return together.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "server/core/job.h"
#include "server/core/types.h"

namespace trainyard::core {

// Part of a pause by which it is made longer or shorter, at most.
inline constexpr double kJitter = 0.2;

// Whether a failure of this category is tried again while retries are left.
bool IsRetryable(FailureCategory category);

// The pause after the job's newest attempt: backoff × 2^doublings, at most
// `longest`, made up to kJitter longer or shorter.
absl::Duration RetryPause(const Job& job, uint32_t doublings,
                          absl::Duration longest);

// The same after the job's `losses`-th loss in a row.
absl::Duration LossPause(const Job& job, uint32_t losses,
                         absl::Duration longest);

}  // namespace trainyard::core
