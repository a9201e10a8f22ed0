#include "server/core/queue.h"

#include "absl/strings/str_cat.h"

namespace trainyard::core {
namespace {

// The same text for the same needs, different texts for different ones: every
// free text carries its length.
std::string LaneKey(const SchedulingSpec& scheduling) {
  std::string key;
  for (const DeviceRequest& device : scheduling.devices) {
    absl::StrAppend(&key, static_cast<int>(device.kind), ",", device.count, ",",
                    device.min_memory_bytes, ";");
  }
  for (const auto& [name, value] : scheduling.worker_labels) {
    absl::StrAppend(&key, name.size(), ":", name, value.size(), ":", value);
  }
  return key;
}

}  // namespace

Lane* Queue::Join(const SchedulingSpec& scheduling) {
  auto [it, inserted] = lanes_.try_emplace(LaneKey(scheduling));
  Lane& lane = it->second;
  if (inserted) lane.needs = {scheduling.devices, scheduling.worker_labels};
  ++lane.jobs;
  return &lane;
}

void Queue::Leave(Lane* lane) {
  if (--lane->jobs > 0) return;
  SchedulingSpec scheduling;
  scheduling.devices = lane->needs.devices;
  scheduling.worker_labels = lane->needs.worker_labels;
  lanes_.erase(LaneKey(scheduling));
}

void Queue::Wait(Lane* lane, const QueueKey& key, absl::Time not_before,
                 absl::Time now) {
  if (not_before <= now) {
    lane->waiting.insert(key);
  } else {
    delayed_.insert({not_before, key.job});
  }
}

void Queue::Remove(Lane* lane, const QueueKey& key, absl::Time not_before) {
  if (lane->waiting.erase(key) == 0) delayed_.erase({not_before, key.job});
}

JobId Queue::TakeDue(absl::Time now) {
  if (delayed_.empty() || delayed_.begin()->first > now) return JobId();
  const JobId job = delayed_.begin()->second;
  delayed_.erase(delayed_.begin());
  return job;
}

}  // namespace trainyard::core
