// The newest readings of attempts, for their series. Fed with each stored
// point; whoever knows which attempts run asks for those and lets the rest go.
//
//   readings.Add({.job = 17, .attempt = 2}, point, now);
//   for (const auto& [job, reading] : readings.Keep(runs)) …
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/telemetry/points.h"
#include "server/telemetry/readings.h"

namespace trainyard::telemetry {

struct JobReading {
  uint32_t attempt = 0;
  PointReading point;
  absl::Time last_progress;  // when the step last grew
};

class JobReadings {
 public:
  // Of more jobs the ones with the oldest news are forgotten.
  explicit JobReadings(size_t max_jobs = 16384) : max_jobs_(max_jobs) {}

  // Figures of the work that a point has not are those of the point before in
  // the same attempt; figures of devices and memory are of the moment. A
  // point of an older attempt or step than the one known is ignored.
  void Add(AttemptId attempt, const PointReading& point, absl::Time now);
  // By job, those for which `runs` is true; all others are forgotten.
  std::map<uint64_t, JobReading> Keep(absl::FunctionRef<bool(AttemptId)> runs);
  size_t size() const;

 private:
  struct Entry {
    JobReading reading;
    std::list<uint64_t>::iterator age;
  };

  const size_t max_jobs_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Entry> jobs_ ABSL_GUARDED_BY(mutex_);
  // Jobs, oldest news first.
  std::list<uint64_t> ages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::telemetry
