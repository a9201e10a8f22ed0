// The port through which everything asks for time, so that tests own it.
//
//   Clock* clock = RealClock();
//   ManualClock clock(absl::FromUnixSeconds(1000));  clock.Advance(absl::Seconds(1));
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace trainyard {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

// The system's clock; never destroyed.
Clock* RealClock();

// Stands still until told. Thread-safe.
class ManualClock : public Clock {
 public:
  explicit ManualClock(absl::Time now) : now_(now) {}
  absl::Time Now() const override;
  void Advance(absl::Duration by);

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard
