#include "server/telemetry/fleet_readings.h"

#include <utility>

namespace trainyard::telemetry {

void FleetReadings::Set(const std::string& worker, Shared reading) {
  absl::MutexLock lock(&mutex_);
  const auto found = readings_.find(worker);
  if (found != readings_.end()) {
    found->second.swap(reading);  // the old one is freed without the lock
  } else if (readings_.size() < max_workers_) {
    readings_.emplace(worker, std::move(reading));
  }
}

void FleetReadings::Forget(const std::string& worker) {
  absl::MutexLock lock(&mutex_);
  readings_.erase(worker);
}

FleetReadings::Shared FleetReadings::Find(const std::string& worker) const {
  absl::MutexLock lock(&mutex_);
  const auto found = readings_.find(worker);
  return found == readings_.end() ? nullptr : found->second;
}

FleetReadings::ByWorker FleetReadings::All() const {
  absl::MutexLock lock(&mutex_);
  return readings_;
}

}  // namespace trainyard::telemetry
