// The cores of this machine as one device: those this process may use (affinity
// and cgroup quota), and the memory it may use (physical and cgroup limit).
//
//   Devices devices;  devices.push_back(MakeCpuDevice());
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "workers/agent/devices/device.h"

namespace trainyard::agent {

// `root` is where /proc and /sys are looked for; tests give their own.
std::unique_ptr<Device> MakeCpuDevice(const std::string& root = "",
                                      Clock* clock = RealClock());

}  // namespace trainyard::agent
