#include "server/rpc/convert_readings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxIdBytes = 256;
constexpr double kLowest = std::numeric_limits<double>::lowest();
constexpr double kHighest = std::numeric_limits<double>::max();
constexpr double kAbsoluteZero = -273.15;
constexpr double kHottest = 1000;

// The value if it is set, finite and within the bounds.
std::optional<double> Within(bool set, double value, double low, double high) {
  if (!set || !(value >= low && value <= high)) return std::nullopt;
  return value;
}

// Of v1::Device and v1::DeviceUsage.
template <typename Message>
telemetry::DeviceReading ToDevice(const Message& message) {
  telemetry::DeviceReading reading;
  reading.id = message.id();
  reading.utilization =
      Within(message.has_utilization(), message.utilization(), 0, 1);
  reading.temperature_celsius =
      Within(message.has_temperature_celsius(), message.temperature_celsius(),
             kAbsoluteZero, kHottest);
  reading.power_watts =
      Within(message.has_power_watts(), message.power_watts(), 0, kHighest);
  return reading;
}

bool IsDeviceId(const std::string& id) {
  return !id.empty() && id.size() <= kMaxIdBytes &&
         IsPrintableAscii(id, /*spaces=*/false);
}

}  // namespace

telemetry::WorkerReading ToReading(const v1::SynchronizeRequest& request) {
  telemetry::WorkerReading reading;
  reading.devices.reserve(static_cast<size_t>(request.devices_size()));
  for (const v1::Device& device : request.devices()) {
    reading.devices.push_back(ToDevice(device));
  }
  if (request.has_disk() && request.disk().size_bytes() > 0) {
    reading.disk = telemetry::DiskReading{
        std::min(request.disk().free_bytes(), request.disk().size_bytes()),
        request.disk().size_bytes()};
  }
  return reading;
}

telemetry::PointReading ToReading(const v1::MetricPoint& point) {
  telemetry::PointReading reading;
  reading.step = point.step();
  reading.total_steps = point.total_steps();
  reading.epoch = point.epoch();
  reading.loss = Within(point.has_loss(), point.loss(), kLowest, kHighest);
  reading.learning_rate =
      Within(point.has_learning_rate(), point.learning_rate(), 0, kHighest);
  reading.samples_per_second = Within(point.has_samples_per_second(),
                                      point.samples_per_second(), 0, kHighest);
  reading.data_wait_seconds = Within(point.has_data_wait_seconds(),
                                     point.data_wait_seconds(), 0, kHighest);
  reading.step_seconds =
      Within(point.has_step_seconds(), point.step_seconds(), 0, kHighest);
  reading.eta_seconds =
      Within(point.has_eta_seconds(), point.eta_seconds(), 0, kHighest);
  if (point.has_rss_bytes()) reading.rss_bytes = point.rss_bytes();
  reading.validation_loss = Within(point.has_validation_loss(),
                                   point.validation_loss(), kLowest, kHighest);
  reading.validation_accuracy = Within(point.has_validation_accuracy(),
                                       point.validation_accuracy(), 0, 1);
  absl::flat_hash_set<std::string> ids;
  const int devices = std::min(point.devices_size(), kMaxAttemptDevices);
  for (int i = 0; i < devices; ++i) {
    const v1::DeviceUsage& usage = point.devices(i);
    if (!IsDeviceId(usage.id()) || !ids.insert(usage.id()).second) continue;
    telemetry::DeviceReading device = ToDevice(usage);
    if (usage.has_memory_bytes()) device.memory_bytes = usage.memory_bytes();
    reading.devices.push_back(std::move(device));
  }
  return reading;
}

void AddReading(const telemetry::WorkerReading& reading, v1::Worker* worker) {
  for (v1::Device& device : *worker->mutable_devices()) {
    const auto found = std::find_if(
        reading.devices.begin(), reading.devices.end(),
        [&device](const auto& one) { return one.id == device.id(); });
    if (found == reading.devices.end()) continue;
    if (found->utilization) device.set_utilization(*found->utilization);
    if (found->temperature_celsius) {
      device.set_temperature_celsius(*found->temperature_celsius);
    }
    if (found->power_watts) device.set_power_watts(*found->power_watts);
  }
  if (reading.disk.has_value()) {
    worker->mutable_disk()->set_free_bytes(reading.disk->free_bytes);
    worker->mutable_disk()->set_size_bytes(reading.disk->size_bytes);
  }
}

}  // namespace trainyard::rpc
