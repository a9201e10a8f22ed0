#include "workers/agent/usage.h"

#include <algorithm>
#include <utility>

#include "workers/agent/convert.h"

namespace trainyard::agent {
namespace {

// A runner that reports more often gets the same sample again.
constexpr absl::Duration kSampleInterval = absl::Milliseconds(500);

bool AllCpu(const std::vector<const Device*>& devices) {
  return std::all_of(devices.begin(), devices.end(), [](const Device* device) {
    return device->Describe().kind == DeviceKind::kCpu;
  });
}

template <typename T>
void Add(const std::optional<T>& value, std::optional<T>& sum) {
  if (value) sum = sum.value_or(T()) + *value;
}

}  // namespace

UsageSampler::UsageSampler(pid_t runner, std::vector<const Device*> devices,
                           uint32_t cores, Clock* clock)
    : runner_(runner),
      devices_(std::move(devices)),
      on_cpu_(AllCpu(devices_)),
      clock_(clock),
      process_(runner, cores, clock) {}

DeviceSample UsageSampler::SampleDevices() const {
  DeviceSample all;
  double utilization = 0;
  int busy = 0;
  for (const Device* device : devices_) {
    const DeviceSample one = device->Sample(runner_);
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

void UsageSampler::Fill(v1::MetricPoint& point) {
  const absl::Time now = clock_->Now();
  *point.mutable_time() = ToProto(now);
  if (now - sampled_at_ >= kSampleInterval) {
    device_sample_ = SampleDevices();
    const ProcessSample process = process_.Sample();
    rss_bytes_ = process.rss_bytes;
    if (on_cpu_) device_sample_.utilization = process.cpu_share;
    sampled_at_ = now;
  }
  if (!point.has_rss_bytes() && rss_bytes_) point.set_rss_bytes(*rss_bytes_);
  if (!point.has_utilization() && device_sample_.utilization) {
    point.set_utilization(*device_sample_.utilization);
  }
  if (!point.has_device_memory_bytes() && device_sample_.runner_memory_bytes) {
    point.set_device_memory_bytes(*device_sample_.runner_memory_bytes);
  }
  if (!point.has_temperature_celsius() && device_sample_.temperature_celsius) {
    point.set_temperature_celsius(*device_sample_.temperature_celsius);
  }
  if (!point.has_power_watts() && device_sample_.power_watts) {
    point.set_power_watts(*device_sample_.power_watts);
  }
}

}  // namespace trainyard::agent
