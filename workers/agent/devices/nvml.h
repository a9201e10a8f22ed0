// The part of NVIDIA's management library that the agent uses, declared here so
// that no CUDA header is needed; the library comes with the driver and is
// opened at run time. Layouts and numbers are those of NVML's stable C ABI.
#pragma once

#include <cstdint>

extern "C" {

using nvmlDevice_t = struct nvmlDevice_st*;
using nvmlReturn_t = int;  // NVML_SUCCESS is 0

struct nvmlMemory_t {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct nvmlUtilization_t {
  unsigned int gpu;  // percent
  unsigned int memory;
};

// Of nvmlDeviceGetComputeRunningProcesses_v2 and _v3.
struct nvmlProcessInfo_t {
  unsigned int pid;
  unsigned long long usedGpuMemory;  // all ones: not available
  unsigned int gpuInstanceId;
  unsigned int computeInstanceId;
};

}  // extern "C"

namespace trainyard::agent {

inline constexpr nvmlReturn_t kNvmlSuccess = 0;
inline constexpr int kNvmlTemperatureGpu = 0;
inline constexpr unsigned kNvmlNameBytes = 96;

}  // namespace trainyard::agent
