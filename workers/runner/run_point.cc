#include "workers/runner/run_point.h"

#include <cstdint>

#include "workers/runner/device.h"
#include "workers/runner/usage.h"

namespace trainyard::runner {
namespace {

// Absent where no device says.
std::optional<uint64_t> Sum(
    absl::Span<const torch::Device> devices,
    std::optional<uint64_t> (*bytes_of)(torch::Device)) {
  std::optional<uint64_t> sum;
  for (const torch::Device device : devices) {
    if (const auto bytes = bytes_of(device); bytes.has_value()) {
      sum = sum.value_or(0) + *bytes;
    }
  }
  return sum;
}

bool OnlyCpu(absl::Span<const torch::Device> devices) {
  return devices.size() == 1 && devices[0].is_cpu();
}

}  // namespace

void AddSpeed(const IntervalFigures& figures,
              absl::Span<const torch::Device> devices, nlohmann::json* point) {
  SetIf(figures.samples_per_second, "samples_per_second", point);
  SetIf(figures.data_wait_seconds, "data_wait_seconds", point);
  SetIf(figures.step_seconds, "step_seconds", point);
  SetIf(ResidentBytes(), "rss_bytes", point);
  SetIf(Sum(devices, DeviceMemoryBytes), "device_memory_bytes", point);
  if (OnlyCpu(devices)) SetIf(figures.cpu_utilization, "utilization", point);
}

void AddTotals(const Meter& meter, absl::Span<const torch::Device> devices,
               nlohmann::json* report) {
  (*report)["peak_memory_bytes"] = PeakResidentBytes();
  SetIf(meter.samples_per_second(), "samples_per_second", report);
  SetIf(Sum(devices, PeakDeviceMemoryBytes), "peak_device_memory_bytes",
        report);
  if (OnlyCpu(devices)) SetIf(meter.cpu_utilization(), "utilization", report);
}

}  // namespace trainyard::runner
