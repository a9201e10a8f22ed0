// NVIDIA cards, as the driver's management library (NVML) tells of them.
//
//   Devices cards = FindCudaDevices();   // none where there is no driver
#pragma once

#include <string>

#include "workers/agent/devices/device.h"

namespace trainyard::agent {

// `library` is opened with dlopen; tests give their own.
Devices FindCudaDevices(const std::string& library = "libnvidia-ml.so.1");

// "cuda:GPU-…" as CUDA_VISIBLE_DEVICES names it: "GPU-…".
std::string CudaUuid(const std::string& device_id);

}  // namespace trainyard::agent
