// The port to measurements of the engine. server/adapters/prometheus_metrics
// implements it; tests use NoMetrics.
#pragma once

#include <cstddef>

#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::engine {

// Called on the engine's thread; must not block.
class Metrics {
 public:
  virtual ~Metrics() = default;
  virtual void OnCommit(size_t commands, size_t records,
                        absl::Duration duration) = 0;
  virtual void OnCommitFailure() = 0;
  virtual void OnJobSubmitted() = 0;
  virtual void OnJobPlaced(absl::Duration queue_wait) = 0;
  virtual void OnJobEnded(core::JobState state, absl::Duration run_time) = 0;
  virtual void OnAttemptEnded(core::Outcome outcome) = 0;
  // Its lease ended without a word that it leaves.
  virtual void OnWorkerLost() = 0;
  // After each round. Indexed by JobState: jobs in each state that is not
  // final.
  virtual void OnGauges(size_t queued, size_t starting, size_t running,
                        size_t inbox, size_t workers_online,
                        size_t workers_silent) = 0;
};

class NoMetrics : public Metrics {
 public:
  void OnCommit(size_t, size_t, absl::Duration) override {}
  void OnCommitFailure() override {}
  void OnJobSubmitted() override {}
  void OnJobPlaced(absl::Duration) override {}
  void OnJobEnded(core::JobState, absl::Duration) override {}
  void OnAttemptEnded(core::Outcome) override {}
  void OnWorkerLost() override {}
  void OnGauges(size_t, size_t, size_t, size_t, size_t, size_t) override {}
};

}  // namespace trainyard::engine
