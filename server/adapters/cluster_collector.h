// The series that are made anew for each scrape: queue, workers, devices,
// running jobs, and the disk of the state folder. Asks the engine for a view of
// the cluster; one that is too busy to answer in time is shown as it was.
//
//   auto collector = std::make_shared<ClusterCollector>(options, clock, engine,
//                                                       &fleet, &jobs);
//   metrics->Add(collector);
//   …
//   collector->Detach();   // before the engine goes
//
// Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/engine/engine.h"
#include "server/telemetry/fleet_readings.h"
#include "server/telemetry/gauges.h"
#include "server/telemetry/job_readings.h"

namespace trainyard::adapters {

// What the series need to know of the cluster.
telemetry::ClusterView MakeView(const core::Cluster& cluster, absl::Time now);

struct ClusterCollectorOptions {
  std::string state_dir;
  // How long a scrape waits for the engine.
  absl::Duration patience = absl::Milliseconds(500);
  // Scrapes that follow sooner get the same view, so that they cannot keep the
  // engine busy.
  absl::Duration shortest_interval = absl::Milliseconds(200);
};

class ClusterCollector : public prometheus::Collectable {
 public:
  // Borrows all of them.
  ClusterCollector(ClusterCollectorOptions options, const Clock* clock,
                   engine::Engine* engine,
                   const telemetry::FleetReadings* fleet,
                   telemetry::JobReadings* jobs);

  std::vector<prometheus::MetricFamily> Collect() const override;
  // Returns when nothing borrowed is used any more. Idempotent.
  void Detach();

 private:
  void Refresh() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ClusterCollectorOptions options_;
  const Clock* const clock_;
  const absl::Time start_time_;

  mutable absl::Mutex mutex_;                       // one scrape at a time
  engine::Engine* engine_ ABSL_GUARDED_BY(mutex_);  // nullptr: detached
  const telemetry::FleetReadings* const fleet_;
  telemetry::JobReadings* const jobs_;
  mutable telemetry::ClusterView view_ ABSL_GUARDED_BY(mutex_);
  mutable absl::Time viewed_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace trainyard::adapters
