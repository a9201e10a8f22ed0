// How fast the training goes: figures of the interval since the last metrics
// point, and of the whole attempt.
//
//   meter.StartInterval();
//   meter.AddStep(64, loader.wait_seconds());     // after each step
//   if (meter.Due()) { point = meter.CloseInterval(); meter.StartInterval(); }
//
// Validation happens between CloseInterval and StartInterval, so that it does
// not count as slow training. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "base/clock.h"

namespace trainyard::runner {

// Whether `period` has passed; also when the clock was set back, so that
// nothing waits until it has caught up.
bool HasPassed(absl::Duration period, absl::Time since, absl::Time now);

struct MeterOptions {
  // How long an interval is before it is due.
  absl::Duration period = absl::Seconds(1);
  // The cores the job was given: what utilisation is a share of.
  int threads = 1;
};

// Absent: no step was done, or no time passed.
struct IntervalFigures {
  uint64_t steps = 0;
  std::optional<double> samples_per_second;
  std::optional<double> data_wait_seconds;  // per step
  std::optional<double> step_seconds;
  std::optional<double> cpu_utilization;  // 0 to 1
};

class Meter {
 public:
  Meter(Clock* clock, const MeterOptions& options);

  void StartInterval();
  // `waited_seconds`: the loader's total so far.
  void AddStep(uint32_t samples, double waited_seconds);
  bool Due() const;
  IntervalFigures CloseInterval();

  // Over all closed intervals.
  uint64_t steps() const { return steps_; }
  uint64_t samples() const { return samples_; }
  double training_seconds() const { return training_seconds_; }
  std::optional<double> samples_per_second() const;
  std::optional<double> cpu_utilization() const;
  // Smoothed over the last few intervals.
  std::optional<double> recent_step_seconds() const { return recent_step_; }
  // Since construction.
  double total_seconds() const;

 private:
  struct Interval {
    absl::Time start;
    double cpu_at_start = 0;
    double waited_at_start = 0;
    uint64_t steps = 0;
    uint64_t samples = 0;
  };
  double CpuShare(double cpu_seconds, double seconds) const;

  Clock* const clock_;
  const MeterOptions options_;
  const absl::Time begun_;
  Interval now_;
  double waited_ = 0;
  uint64_t steps_ = 0;
  uint64_t samples_ = 0;
  double training_seconds_ = 0;
  double cpu_seconds_ = 0;
  std::optional<double> recent_step_;
};

}  // namespace trainyard::runner
