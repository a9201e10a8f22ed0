// What workers tell of their machines and attempts of their work: plain values
// of the moment. They are never durable and take no part in decisions. Unset:
// the device or the moment has no such figure.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace trainyard::telemetry {

struct DeviceReading {
  std::string id;                        // on its worker
  std::optional<double> utilization;     // 0 to 1
  std::optional<uint64_t> memory_bytes;  // in use by the runner
  std::optional<double> temperature_celsius;
  std::optional<double> power_watts;
};

struct DiskReading {
  uint64_t free_bytes = 0;
  uint64_t size_bytes = 0;
};

// Of one heartbeat.
struct WorkerReading {
  std::vector<DeviceReading> devices;
  std::optional<DiskReading> disk;
};

// Of one metric point.
struct PointReading {
  // Shared by the points of an attempt.
  std::shared_ptr<const std::string> job_name;
  uint64_t step = 0;
  uint64_t total_steps = 0;  // 0: not known
  uint32_t epoch = 0;        // 0: not known
  std::optional<double> loss;
  std::optional<double> learning_rate;
  std::optional<double> samples_per_second;
  std::optional<double> data_wait_seconds;
  std::optional<double> step_seconds;
  std::optional<double> eta_seconds;
  std::optional<uint64_t> rss_bytes;
  std::optional<double> validation_loss;
  std::optional<double> validation_accuracy;
  std::vector<DeviceReading> devices;
};

}  // namespace trainyard::telemetry
