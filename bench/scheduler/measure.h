// Figures: taken and printed. One JSON object per line on stdout.
//
//   Print("placement_seconds", 4e-6, "s", {{"queued", 1e6}});
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trainyard::bench {

// What else belongs to a figure, by name.
using Details = std::vector<std::pair<const char*, double>>;

void Print(const char* name, double value, const char* unit,
           const Details& details = {});

// The value that a share of all, 0 to 1, is not above. `values` is not empty.
double Quantile(std::vector<double> values, double share);
inline double Median(std::vector<double> values) {
  return Quantile(std::move(values), 0.5);
}

// Processor time of a process so far, user and system.
absl::StatusOr<absl::Duration> CpuTimeOf(pid_t pid);
// Its resident memory.
absl::StatusOr<double> ResidentBytesOf(pid_t pid);
// Processor time of the calling thread.
absl::Duration ThreadCpuTime();

}  // namespace trainyard::bench
