// The port to the compute devices of this machine. devices/{cpu,cuda,mps}
// implement it; FindDevices (devices/find.h) lists those that are here.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "workers/agent/types.h"

namespace trainyard::agent {

struct DeviceInfo {
  std::string id;  // "cpu", "cuda:GPU-<uuid>", "mps"
  DeviceKind kind = DeviceKind::kCpu;
  std::string model;
  uint64_t memory_bytes = 0;
  uint64_t free_memory_bytes = 0;
  uint32_t cores = 0;  // CPUs only
};

// What a device tells of itself; unset: it has no such figure.
struct DeviceSample {
  std::optional<double> utilization;            // 0 to 1
  std::optional<uint64_t> runner_memory_bytes;  // device memory of the runner
  std::optional<double> temperature_celsius;
  std::optional<double> power_watts;
};

// Thread-safe. Calls take milliseconds at most.
class Device {
 public:
  virtual ~Device() = default;
  // As of now: free memory changes.
  virtual DeviceInfo Describe() const = 0;
  // While `runner` works on it. 0: of the device as a whole, whoever uses it;
  // for those that count from call to call, since the call before with 0.
  virtual DeviceSample Sample(pid_t runner) const = 0;
};

// What a heartbeat tells of the machine.
struct DiskSpace {
  uint64_t free_bytes = 0;
  uint64_t size_bytes = 0;
};
struct DeviceReport {
  DeviceInfo info;
  DeviceSample sample;
};
struct MachineReport {
  std::vector<DeviceReport> devices;
  std::optional<DiskSpace> disk;
};

using Devices = std::vector<std::unique_ptr<Device>>;

}  // namespace trainyard::agent
