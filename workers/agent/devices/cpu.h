// The cores of this machine as one device: those this process may use (affinity
// and cgroup quota), and the memory it may use (physical and cgroup limit).
//
//   Devices devices;  devices.push_back(MakeCpuDevice());
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "workers/agent/devices/device.h"

namespace trainyard::agent {

// `root` is where /proc and /sys are looked for; tests give their own.
std::unique_ptr<Device> MakeCpuDevice(const std::string& root = "");

// Limits that control groups set on this process; 0: none.
struct CgroupLimits {
  double cores = 0;
  uint64_t memory_bytes = 0;
  uint64_t memory_used_bytes = 0;  // of memory_bytes, caches not counted
};
// Reads version 2, and version 1 where 2 is not mounted.
CgroupLimits ReadCgroupLimits(const std::string& root);

}  // namespace trainyard::agent
