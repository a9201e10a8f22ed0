#include "server/core/job.h"

namespace trainyard::core {

absl::Time Job::deadline() const {
  if (state == JobState::kQueued && last_attempt == 0) {
    return submit_time + queue_time_limit;
  }
  if (attempt != nullptr && attempt->start_time.has_value() &&
      !attempt->overdue) {
    return *attempt->start_time + run_time_limit;
  }
  return absl::InfiniteFuture();
}

}  // namespace trainyard::core
