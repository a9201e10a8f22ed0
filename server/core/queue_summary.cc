#include "server/core/queue_summary.h"

#include <algorithm>
#include <limits>

namespace trainyard::core {
namespace {

// Jobs looked at in one lane and priority. Only jobs that came back to the
// queue make it more than one.
constexpr int kMaxReturned = 1000;

// Jobs of one priority are in the order of their submission. One that never
// left the queue has waited longer than all behind it; one that came back waits
// anew, so those behind it are looked at too.
absl::Duration LongestWait(const Cluster& cluster, const Lane& lane,
                           absl::Time now) {
  absl::Duration longest = absl::ZeroDuration();
  auto it = lane.waiting.begin();
  while (it != lane.waiting.end()) {
    const int32_t priority = it->priority;
    for (int looked_at = 0; looked_at < kMaxReturned; ++looked_at, ++it) {
      if (it == lane.waiting.end() || it->priority != priority) break;
      const Job* job = cluster.FindJob(it->job);
      if (job == nullptr) continue;
      longest = std::max(longest, now - job->queued_since);
      if (job->last_attempt == 0) break;
    }
    it = lane.waiting.upper_bound(
        {priority, JobId(std::numeric_limits<uint64_t>::max())});
  }
  return longest;
}

}  // namespace

QueueSummary Summarize(const Cluster& cluster, absl::Time now) {
  QueueSummary summary;
  for (const auto& [key, lane] : cluster.queue().lanes()) {
    if (lane.waiting.empty()) continue;
    summary.oldest_wait =
        std::max(summary.oldest_wait, LongestWait(cluster, lane, now));
    const DeviceRequest& first = lane.needs.devices.front();
    const size_t kind = static_cast<size_t>(first.kind);
    if (kind < summary.wanted_devices.size()) {
      summary.wanted_devices[kind] +=
          uint64_t{first.count} * lane.waiting.size();
    }
  }
  return summary;
}

}  // namespace trainyard::core
