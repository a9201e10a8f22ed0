// Fills into a runner's points what the agent can measure and the runner left
// out: memory, utilisation, temperature, power.
//
//   UsageSampler usage(pid, {device}, cores, RealClock());
//   usage.Fill(point);
//
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "base/clock.h"
#include "trainyard/v1/telemetry.pb.h"
#include "workers/agent/devices/device.h"
#include "workers/agent/devices/process_usage.h"

namespace trainyard::agent {

class UsageSampler {
 public:
  UsageSampler(pid_t runner, std::vector<const Device*> devices, uint32_t cores,
               Clock* clock);
  // Also sets the time.
  void Fill(v1::MetricPoint& point);

 private:
  // Of all devices together: mean utilisation, hottest, sums.
  DeviceSample SampleDevices() const;

  const pid_t runner_;
  const std::vector<const Device*> devices_;
  const bool on_cpu_;
  Clock* const clock_;
  ProcessUsage process_;
  std::optional<uint64_t> rss_bytes_;
  DeviceSample device_sample_;
  absl::Time sampled_at_ = absl::InfinitePast();
};

}  // namespace trainyard::agent
