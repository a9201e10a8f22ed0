#include "workers/agent/usage.h"

#include <algorithm>
#include <utility>

#include "workers/agent/convert.h"

namespace trainyard::agent {
namespace {

// A runner that reports more often gets the same sample again.
constexpr absl::Duration kSampleInterval = absl::Milliseconds(500);

template <typename T>
void Add(const std::optional<T>& value, std::optional<T>& sum) {
  if (value) sum = sum.value_or(T()) + *value;
}

}  // namespace

UsageSampler::UsageSampler(pid_t runner, std::vector<const Device*> devices,
                           uint32_t cores, Clock* clock)
    : runner_(runner), clock_(clock), process_(runner, cores, clock) {
  for (const Device* device : devices) {
    const DeviceInfo info = device->Describe();
    devices_.push_back({device, info.id, info.kind, {}});
  }
}

void UsageSampler::SampleAll() {
  const ProcessSample process = process_.Sample();
  rss_bytes_ = process.rss_bytes;
  for (Sampled& one : devices_) {
    one.sample = one.device->Sample(runner_);
    if (one.kind == DeviceKind::kCpu) {
      one.sample.utilization = process.cpu_share;
    }
  }
}

DeviceSample UsageSampler::Together() const {
  DeviceSample all;
  double utilization = 0;
  int busy = 0;
  for (const auto& [device, id, kind, one] : devices_) {
    if (one.utilization) {
      utilization += *one.utilization;
      ++busy;
    }
    Add(one.runner_memory_bytes, all.runner_memory_bytes);
    Add(one.power_watts, all.power_watts);
    if (one.temperature_celsius) {
      all.temperature_celsius =
          std::max(all.temperature_celsius.value_or(*one.temperature_celsius),
                   *one.temperature_celsius);
    }
  }
  if (busy > 0) all.utilization = utilization / busy;
  return all;
}

void UsageSampler::Complete(const v1::MetricPoint& point,
                            DeviceSample& sample) const {
  if (devices_.size() != 1) return;
  if (point.has_utilization()) sample.utilization = point.utilization();
  if (point.has_device_memory_bytes()) {
    sample.runner_memory_bytes = point.device_memory_bytes();
  }
  if (point.has_temperature_celsius()) {
    sample.temperature_celsius = point.temperature_celsius();
  }
  if (point.has_power_watts()) sample.power_watts = point.power_watts();
}

void UsageSampler::Fill(v1::MetricPoint& point) {
  const absl::Time now = clock_->Now();
  *point.mutable_time() = ToProto(now);
  if (now - sampled_at_ >= kSampleInterval) {
    SampleAll();
    sampled_at_ = now;
  }
  point.clear_devices();
  for (const Sampled& one : devices_) {
    DeviceSample sample = one.sample;
    Complete(point, sample);
    *point.add_devices() = ToProto(one.id, sample);
  }
  const DeviceSample all = Together();
  if (!point.has_rss_bytes() && rss_bytes_) point.set_rss_bytes(*rss_bytes_);
  if (!point.has_utilization() && all.utilization) {
    point.set_utilization(*all.utilization);
  }
  if (!point.has_device_memory_bytes() && all.runner_memory_bytes) {
    point.set_device_memory_bytes(*all.runner_memory_bytes);
  }
  if (!point.has_temperature_celsius() && all.temperature_celsius) {
    point.set_temperature_celsius(*all.temperature_celsius);
  }
  if (!point.has_power_watts() && all.power_watts) {
    point.set_power_watts(*all.power_watts);
  }
}

}  // namespace trainyard::agent
