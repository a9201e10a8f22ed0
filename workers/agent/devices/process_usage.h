// What a process uses of the machine: memory, and its share of the cores.
//
//   ProcessUsage usage(pid, cores, RealClock());
//   ProcessSample sample = usage.Sample();   // about once a second
//
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "base/clock.h"

namespace trainyard::agent {

struct ProcessSample {
  std::optional<uint64_t> rss_bytes;
  // CPU time since the sample before, over time and cores: 0 to 1.
  std::optional<double> cpu_share;
};

class ProcessUsage {
 public:
  ProcessUsage(pid_t pid, uint32_t cores, Clock* clock);
  ProcessSample Sample();

 private:
  const pid_t pid_;
  const uint32_t cores_;
  Clock* const clock_;
  absl::Time last_time_;
  std::optional<absl::Duration> last_cpu_time_;
  std::optional<double> last_share_;
};

}  // namespace trainyard::agent
