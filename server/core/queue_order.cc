#include "server/core/queue_order.h"

namespace trainyard::core {

QueueKey MakeQueueKey(int32_t priority, absl::Time submit_time, JobId job,
                      absl::Duration ageing) {
  return {absl::ToUnixMicros(submit_time) -
              priority * absl::ToInt64Microseconds(ageing),
          job};
}

int64_t AgedPriority(int64_t rank, absl::Time now, absl::Duration ageing) {
  const int64_t step = absl::ToInt64Microseconds(ageing);
  const int64_t grown = absl::ToUnixMicros(now) - rank;
  return grown / step - (grown % step < 0 ? 1 : 0);
}

}  // namespace trainyard::core
