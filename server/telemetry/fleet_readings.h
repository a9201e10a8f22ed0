// The newest readings of each worker whose stream is open.
//
//   readings.Set("mini", reading);      // at each heartbeat
//   readings.Forget("mini");            // when its stream ends
//   if (const auto reading = readings.Find("mini")) … reading->disk …
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "server/telemetry/readings.h"

namespace trainyard::telemetry {

class FleetReadings {
 public:
  using Shared = std::shared_ptr<const WorkerReading>;
  using ByWorker = absl::flat_hash_map<std::string, Shared>;

  // A worker beyond so many is not remembered.
  explicit FleetReadings(size_t max_workers = 65536)
      : max_workers_(max_workers) {}

  void Set(const std::string& worker, Shared reading);
  void Forget(const std::string& worker);
  // nullptr: none.
  Shared Find(const std::string& worker) const;
  ByWorker All() const;

 private:
  const size_t max_workers_;
  mutable absl::Mutex mutex_;
  ByWorker readings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::telemetry
