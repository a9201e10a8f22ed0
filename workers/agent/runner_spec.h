// The file that tells a runner what to do (docs/runner_protocol.md). Pure.
//
//   std::string text = FormatRunnerSpec({.key = key, .job = spec, …});
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainyard/v1/job.pb.h"
#include "workers/agent/devices/device.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

struct RunnerSpec {
  AttemptKey key;
  v1::JobSpec job;  // each Source is a path
  std::vector<DeviceKind> devices = {DeviceKind::kCpu};
  uint32_t threads = 1;
  std::string work_dir;
  std::string resume;  // empty: a fresh start
};

std::string FormatRunnerSpec(const RunnerSpec& spec);

// Variables that show a runner its devices and nothing else, "NAME=value".
std::vector<std::string> DeviceEnvironment(
    const std::vector<DeviceInfo>& devices, uint32_t threads);

// Threads for a runner on these of a worker's devices: all cores on the CPU;
// accelerators share the cores evenly.
uint32_t ThreadsFor(const std::vector<DeviceInfo>& given,
                    const std::vector<DeviceInfo>& all, uint32_t cores);

}  // namespace trainyard::agent
