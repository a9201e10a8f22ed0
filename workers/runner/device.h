// The device a job runs on: cpu, cuda or mps, by one switch.
//
//   ASSIGN_OR_RETURN(torch::Device device, SelectDevice(spec.device));
//
// CUDA and MPS were not run on the machines this was written on.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "workers/runner/spec.h"

namespace trainyard::runner {

// INVALID_ARGUMENT: a device this build or machine does not have.
absl::StatusOr<torch::Device> SelectDevice(const DeviceOptions& options);

// The threads a job may use: its own setting, else the device's, else every
// core.
int ThreadsOf(const Spec& spec);

// Sets LibTorch's and the BLAS library's threads. Call before the first
// operation.
void SetThreads(int threads);

// Repeatable results: no algorithm is chosen by a race, none adds in a random
// order where there is another.
void MakeDeterministic(torch::Device device);

// Memory that tensors take on the device, now and at most; absent on the CPU
// and where LibTorch does not say.
std::optional<uint64_t> DeviceMemoryBytes(torch::Device device);
std::optional<uint64_t> PeakDeviceMemoryBytes(torch::Device device);

}  // namespace trainyard::runner
