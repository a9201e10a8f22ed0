// Temperature and power of the processor, as Linux' hwmon, thermal and powercap
// (RAPL) folders tell them. Many machines have none, virtual ones hardly any,
// and reading power often takes root.
//
//   CpuSensors sensors("", RealClock());
//   std::optional<double> celsius = sensors.Temperature();
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace trainyard::agent {

class CpuSensors {
 public:
  // Looks for sensors below root + "/sys/class"; tests give their own root.
  CpuSensors(const std::string& root, Clock* clock);

  // The hottest of the processor's sensors, in degrees Celsius.
  std::optional<double> Temperature() const;
  // Mean watts of all packages since the call before, at least 200 ms.
  std::optional<double> Power();

 private:
  struct Package {
    std::string energy;  // a file: microjoules so far
    uint64_t range = 0;  // where they start over at 0
    uint64_t last = 0;
  };

  std::optional<std::vector<uint64_t>> ReadEnergies() const;

  Clock* const clock_;
  std::vector<std::string> temperatures_;  // files: thousandths of a degree

  absl::Mutex mutex_;
  std::vector<Package> packages_;  // the files are those of the start
  std::optional<absl::Time> last_time_ ABSL_GUARDED_BY(mutex_);
  std::optional<double> last_power_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::agent
