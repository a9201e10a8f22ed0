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
#include <string>
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
  struct Sampled {
    const Device* device;
    std::string id;
    DeviceKind kind;
    DeviceSample sample;
  };

  void SampleAll();
  // Of all devices together: mean utilisation, hottest, sums.
  DeviceSample Together() const;
  // What the runner says of its only device and the agent cannot measure.
  void Complete(const v1::MetricPoint& point, DeviceSample& sample) const;

  const pid_t runner_;
  std::vector<Sampled> devices_;
  Clock* const clock_;
  ProcessUsage process_;
  std::optional<uint64_t> rss_bytes_;
  absl::Time sampled_at_ = absl::InfinitePast();
};

}  // namespace trainyard::agent
