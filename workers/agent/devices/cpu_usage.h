// How busy the cores are that this process may use: those of its control group
// where that has a quota, else those of its affinity.
//
//   CpuUsage usage("", RealClock());
//   std::optional<double> share = usage.Sample();   // since the one before
//
// Thread-safe.
#pragma once

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace trainyard::agent {

// Time that cores were busy, of all the time they had.
struct CpuTime {
  absl::Duration busy;
  absl::Duration all;
};

// From the text of Linux' /proc/stat, over the cores for which `counts` is
// true. None of them is there: nullopt. Pure.
std::optional<CpuTime> ParseProcStat(absl::string_view text,
                                     absl::Duration tick,
                                     absl::FunctionRef<bool(int)> counts);

class CpuUsage {
 public:
  // `root` is where /proc and /sys are looked for; tests give their own.
  CpuUsage(std::string root, Clock* clock);
  // 0 to 1. Unset: the system does not tell, or nothing was measured yet. Over
  // less than 200 ms it would be noise: then it is the one before.
  std::optional<double> Sample();

 private:
  struct Reading {
    absl::Time time;
    bool of_group = false;
    std::optional<CpuTime> cpu;
  };
  Reading Read() const;

  const std::string root_;
  Clock* const clock_;
  absl::Mutex mutex_;
  Reading last_ ABSL_GUARDED_BY(mutex_);
  std::optional<double> last_share_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::agent
