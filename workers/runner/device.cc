#include "workers/runner/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#ifdef TRAINYARD_TORCH_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#endif

namespace trainyard::runner {
namespace {

absl::Status NotAvailable(const std::string& device, const char* why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "device.kind is ", device, "; ", why, ", take cpu or another machine"));
}

}  // namespace

absl::StatusOr<torch::Device> SelectDevice(const DeviceOptions& options) {
  switch (options.kind) {
    case DeviceKind::kCpu:
      return torch::Device(torch::kCPU);
    case DeviceKind::kCuda: {
      if (!at::globalContext().hasCUDA()) {
        return NotAvailable("cuda",
                            "there is no CUDA in this build or no card");
      }
      const int cards = static_cast<int>(torch::cuda::device_count());
      if (options.index >= cards) {
        return absl::InvalidArgumentError(
            absl::StrCat("device.index is ", options.index,
                         "; this process sees ", cards, " CUDA cards"));
      }
      return torch::Device(torch::kCUDA,
                           static_cast<c10::DeviceIndex>(options.index));
    }
    case DeviceKind::kMps:
      if (!at::globalContext().hasMPS()) {
        return NotAvailable("mps", "there is no Metal in this build or no GPU");
      }
      return torch::Device(torch::kMPS);
  }
  return absl::InternalError("a device of unknown kind");
}

int ThreadsOf(const Spec& spec) {
  const int wanted = spec.ensemble.has_value() ? spec.ensemble->threads
                                               : spec.training.threads;
  if (wanted > 0) return wanted;
  if (spec.device.threads > 0) return spec.device.threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void SetThreads(int threads) {
  at::set_num_threads(threads);
  // A BLAS library with threads of its own would use every core of the machine.
  using SetBlasThreads = void (*)(int);
  if (auto* set = reinterpret_cast<SetBlasThreads>(
          dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) {
    set(threads);
  }
}

void MakeDeterministic(torch::Device device) {
  if (device.is_cpu()) return;  // the CPU's algorithms are repeatable
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
#if TORCH_VERSION_MAJOR > 2 || \
    (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 2)
  // Costs a pass over every new tensor, for code that reads what it never
  // wrote.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
#endif
}

#ifdef TRAINYARD_TORCH_CUDA

namespace {

auto AllocatedOn(torch::Device device) {
  return c10::cuda::CUDACachingAllocator::getDeviceStats(device.index())
      .allocated_bytes[0];  // of all pools together
}

}  // namespace

std::optional<uint64_t> DeviceMemoryBytes(torch::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  return static_cast<uint64_t>(AllocatedOn(device).current);
}

std::optional<uint64_t> PeakDeviceMemoryBytes(torch::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  return static_cast<uint64_t>(AllocatedOn(device).peak);
}

#else

std::optional<uint64_t> DeviceMemoryBytes(torch::Device) {
  return std::nullopt;
}

std::optional<uint64_t> PeakDeviceMemoryBytes(torch::Device) {
  return std::nullopt;
}

#endif

}  // namespace trainyard::runner
