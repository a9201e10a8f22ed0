#include "server/core/queue_summary.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"

namespace trainyard::core {
namespace {

// Jobs looked at in one lane: jobs that came back to the queue and priorities
// that are rare in it make it more than one.
constexpr int kMaxLookedAt = 10'000;

// Jobs of one priority are in the order of their submission. One that never
// left the queue has waited longer than all behind it of that priority; one
// that came back waits anew, so those behind it are looked at too.
absl::Duration LongestWait(const Cluster& cluster, const Lane& lane,
                           absl::Time now) {
  absl::Duration longest = absl::ZeroDuration();
  absl::flat_hash_set<int32_t> settled;  // priorities
  int looked_at = 0;
  for (const QueueKey& key : lane.waiting) {
    if (settled.size() == lane.priorities.size()) break;
    if (++looked_at > kMaxLookedAt) break;
    const Job& job = *cluster.FindJob(key.job);
    longest = std::max(longest, now - job.queued_since);
    if (job.last_attempt == 0) settled.insert(job.priority);
  }
  return longest;
}

void Add(const Cluster& cluster, const Lane& lane, absl::Time now,
         QueueSummary& summary) {
  if (lane.waiting.empty()) return;
  summary.oldest_wait =
      std::max(summary.oldest_wait, LongestWait(cluster, lane, now));
  const DeviceRequest& first = lane.needs->devices.front();
  const size_t kind = static_cast<size_t>(first.kind);
  if (kind < summary.wanted_devices.size()) {
    summary.wanted_devices[kind] += uint64_t{first.count} * lane.waiting.size();
  }
}

}  // namespace

QueueSummary Summarize(const Cluster& cluster, absl::Time now) {
  QueueSummary summary;
  for (const auto& [queue_name, queue] : cluster.queues().queues()) {
    for (const auto& [user_name, user] : queue.users) {
      for (const auto& [needs, lane] : user.lanes) {
        Add(cluster, lane, now, summary);
      }
    }
  }
  return summary;
}

}  // namespace trainyard::core
