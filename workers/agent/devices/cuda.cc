#include "workers/agent/devices/cuda.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "workers/agent/devices/nvml.h"

namespace trainyard::agent {
namespace {

constexpr char kPrefix[] = "cuda:";

// The opened library. Thread-safe, as NVML is.
class Nvml {
 public:
  // nullptr: not here, or it does not work.
  static std::shared_ptr<Nvml> Open(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return nullptr;
    std::shared_ptr<Nvml> nvml(new Nvml(handle));
    if (!nvml->Load()) {
      spdlog::warn("{} lacks functions of NVML: no CUDA devices", path);
      return nullptr;
    }
    if (const nvmlReturn_t error = nvml->init(); error != kNvmlSuccess) {
      spdlog::warn("{} does not start (NVML error {}): no CUDA devices", path,
                   error);
      return nullptr;
    }
    nvml->started_ = true;
    return nvml;
  }
  ~Nvml() {
    if (started_) shutdown();
    dlclose(handle_);
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  nvmlReturn_t (*init)() = nullptr;
  nvmlReturn_t (*shutdown)() = nullptr;
  nvmlReturn_t (*get_count)(unsigned*) = nullptr;
  nvmlReturn_t (*get_handle)(unsigned, nvmlDevice_t*) = nullptr;
  nvmlReturn_t (*get_uuid)(nvmlDevice_t, char*, unsigned) = nullptr;
  nvmlReturn_t (*get_name)(nvmlDevice_t, char*, unsigned) = nullptr;
  nvmlReturn_t (*get_memory)(nvmlDevice_t, nvmlMemory_t*) = nullptr;
  // May be missing.
  nvmlReturn_t (*get_utilization)(nvmlDevice_t, nvmlUtilization_t*) = nullptr;
  nvmlReturn_t (*get_temperature)(nvmlDevice_t, int, unsigned*) = nullptr;
  nvmlReturn_t (*get_power)(nvmlDevice_t, unsigned*) = nullptr;
  nvmlReturn_t (*get_processes)(nvmlDevice_t, unsigned*,
                                nvmlProcessInfo_t*) = nullptr;

 private:
  explicit Nvml(void* handle) : handle_(handle) {}

  template <typename Function>
  bool Find(const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(handle_, name));
    return function != nullptr;
  }

  bool Load() {
    Find("nvmlDeviceGetUtilizationRates", get_utilization);
    Find("nvmlDeviceGetTemperature", get_temperature);
    Find("nvmlDeviceGetPowerUsage", get_power);
    if (!Find("nvmlDeviceGetComputeRunningProcesses_v3", get_processes)) {
      Find("nvmlDeviceGetComputeRunningProcesses_v2", get_processes);
    }
    return Find("nvmlInit_v2", init) && Find("nvmlShutdown", shutdown) &&
           Find("nvmlDeviceGetCount_v2", get_count) &&
           Find("nvmlDeviceGetHandleByIndex_v2", get_handle) &&
           Find("nvmlDeviceGetUUID", get_uuid) &&
           Find("nvmlDeviceGetName", get_name) &&
           Find("nvmlDeviceGetMemoryInfo", get_memory);
  }

  void* const handle_;
  bool started_ = false;
};

class CudaDevice : public Device {
 public:
  CudaDevice(std::shared_ptr<Nvml> nvml, nvmlDevice_t card, std::string uuid,
             std::string name)
      : nvml_(std::move(nvml)),
        card_(card),
        uuid_(std::move(uuid)),
        name_(std::move(name)) {}

  DeviceInfo Describe() const override {
    DeviceInfo info{.id = absl::StrCat(kPrefix, uuid_),
                    .kind = DeviceKind::kCuda,
                    .model = name_};
    nvmlMemory_t memory{};
    if (nvml_->get_memory(card_, &memory) == kNvmlSuccess) {
      info.memory_bytes = memory.total;
      info.free_memory_bytes = memory.free;
    }
    return info;
  }

  DeviceSample Sample(pid_t runner) const override {
    DeviceSample sample;
    nvmlUtilization_t utilization{};
    if (nvml_->get_utilization != nullptr &&
        nvml_->get_utilization(card_, &utilization) == kNvmlSuccess) {
      sample.utilization = std::min(utilization.gpu, 100u) / 100.0;
    }
    unsigned value = 0;
    if (nvml_->get_temperature != nullptr &&
        nvml_->get_temperature(card_, kNvmlTemperatureGpu, &value) ==
            kNvmlSuccess) {
      sample.temperature_celsius = value;
    }
    if (nvml_->get_power != nullptr &&
        nvml_->get_power(card_, &value) == kNvmlSuccess) {
      sample.power_watts = value / 1000.0;  // NVML counts milliwatts
    }
    sample.runner_memory_bytes = RunnerMemory(runner);
    return sample;
  }

 private:
  // Unset where the driver does not tell processes apart, as in containers
  // with their own process numbers.
  std::optional<uint64_t> RunnerMemory(pid_t runner) const {
    if (nvml_->get_processes == nullptr || runner <= 0) return std::nullopt;
    std::vector<nvmlProcessInfo_t> processes(256);
    auto count = static_cast<unsigned>(processes.size());
    if (nvml_->get_processes(card_, &count, processes.data()) != kNvmlSuccess) {
      return std::nullopt;
    }
    for (unsigned i = 0; i < std::min<size_t>(count, processes.size()); ++i) {
      if (processes[i].pid == static_cast<unsigned>(runner) &&
          processes[i].usedGpuMemory != ~0ULL) {
        return processes[i].usedGpuMemory;
      }
    }
    return std::nullopt;
  }

  const std::shared_ptr<Nvml> nvml_;  // shared by all cards
  const nvmlDevice_t card_;
  const std::string uuid_;
  const std::string name_;
};

}  // namespace

Devices FindCudaDevices(const std::string& library) {
  Devices devices;
  const std::shared_ptr<Nvml> nvml = Nvml::Open(library);
  if (nvml == nullptr) return devices;
  unsigned count = 0;
  if (nvml->get_count(&count) != kNvmlSuccess) return devices;
  for (unsigned i = 0; i < count; ++i) {
    nvmlDevice_t card = nullptr;
    char uuid[kNvmlNameBytes] = "";
    char name[kNvmlNameBytes] = "";
    if (nvml->get_handle(i, &card) != kNvmlSuccess ||
        nvml->get_uuid(card, uuid, sizeof(uuid)) != kNvmlSuccess) {
      spdlog::warn("CUDA card {} does not answer and is left out", i);
      continue;
    }
    nvml->get_name(card, name, sizeof(name));
    devices.push_back(std::make_unique<CudaDevice>(nvml, card, uuid, name));
  }
  return devices;
}

std::string CudaUuid(const std::string& device_id) {
  return absl::StartsWith(device_id, kPrefix)
             ? device_id.substr(sizeof(kPrefix) - 1)
             : device_id;
}

}  // namespace trainyard::agent
