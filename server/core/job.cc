#include "server/core/job.h"

#include <algorithm>

namespace trainyard::core {

absl::Time Job::deadline() const {
  if (state == JobState::kQueued && last_attempt == 0) {
    return submit_time + queue_time_limit;
  }
  absl::Time deadline = absl::InfiniteFuture();
  if (attempt == nullptr) return deadline;
  if (attempt->start_time.has_value() && !attempt->overdue) {
    deadline = *attempt->start_time + run_time_limit;
  }
  if (attempt->preemption.has_value() && !attempt->grace_ended) {
    deadline = std::min(deadline, attempt->preemption->stop_by);
  }
  return deadline;
}

}  // namespace trainyard::core
