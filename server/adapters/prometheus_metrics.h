// Measurements for Prometheus: what the engine and the gRPC surface tell, as
// the series trainyard_*. Names and help texts
// are those of server/telemetry/metric_table. Labels are bounded; series of
// jobs and workers come from cluster_collector.
//
//   PrometheusMetrics metrics("0.1.0");
//   Engine engine(options, clock, &store, &metrics);
//   metrics.Render()   // for /metrics
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/adapters/collectable_set.h"
#include "server/core/types.h"
#include "server/engine/metrics.h"
#include "server/telemetry/rpc_metrics.h"

namespace trainyard::adapters {

class PrometheusMetrics : public engine::Metrics, public telemetry::RpcMetrics {
 public:
  explicit PrometheusMetrics(const std::string& version);
  ~PrometheusMetrics() override;
  PrometheusMetrics(const PrometheusMetrics&) = delete;
  PrometheusMetrics& operator=(const PrometheusMetrics&) = delete;

  // Adds series that are made at each scrape, for as long as `source` lives.
  void Add(std::weak_ptr<prometheus::Collectable> source);
  // All series in Prometheus' text format.
  std::string Render() const;

  void OnCommit(size_t commands, size_t records,
                absl::Duration duration) override;
  void OnCommitFailure() override;
  void OnJobSubmitted() override;
  void OnJobPlaced(absl::Duration queue_wait) override;
  void OnJobEnded(core::JobState state, absl::Duration run_time) override;
  void OnAttemptEnded(core::Outcome outcome) override;
  void OnWorkerLost() override;
  void OnGauges(size_t queued, size_t starting, size_t running, size_t inbox,
                size_t workers_online, size_t workers_silent) override;

  void OnCall(absl::string_view method, absl::string_view code,
              absl::Duration duration) override;
  void OnStreamOpened(absl::string_view method) override;
  void OnStreamEnded(absl::string_view method, absl::string_view code) override;
  void OnTelemetry(size_t lines, size_t points) override;

 private:
  // The series of one method and status code.
  struct Call {
    prometheus::Counter* handled = nullptr;
    prometheus::Histogram* seconds = nullptr;
  };

  Call FindCall(absl::string_view method, absl::string_view code);

  const std::shared_ptr<prometheus::Registry> registry_;
  const std::shared_ptr<CollectableSet>
      sources_;  // registry_ and what was added

  // Owned by the registry.
  prometheus::Histogram* commit_seconds_ = nullptr;
  prometheus::Histogram* commit_commands_ = nullptr;
  prometheus::Counter* commit_records_ = nullptr;
  prometheus::Counter* commit_failures_ = nullptr;
  prometheus::Counter* jobs_submitted_ = nullptr;
  prometheus::Histogram* queue_wait_seconds_ = nullptr;
  prometheus::Family<prometheus::Counter>* jobs_ended_ = nullptr;
  prometheus::Histogram* run_seconds_ = nullptr;
  prometheus::Family<prometheus::Counter>* attempts_ended_ = nullptr;
  prometheus::Gauge* jobs_queued_ = nullptr;
  prometheus::Gauge* jobs_starting_ = nullptr;
  prometheus::Gauge* jobs_running_ = nullptr;
  prometheus::Gauge* inbox_ = nullptr;
  prometheus::Gauge* workers_online_ = nullptr;
  prometheus::Gauge* workers_silent_ = nullptr;
  prometheus::Counter* workers_lost_ = nullptr;
  prometheus::Family<prometheus::Counter>* rpcs_ = nullptr;
  prometheus::Family<prometheus::Histogram>* rpc_seconds_ = nullptr;
  prometheus::Family<prometheus::Gauge>* streams_ = nullptr;
  prometheus::Counter* telemetry_lines_ = nullptr;
  prometheus::Counter* telemetry_points_ = nullptr;

  absl::Mutex mutex_;
  absl::flat_hash_map<std::pair<std::string, std::string>, Call> calls_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::adapters
