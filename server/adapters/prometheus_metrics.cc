#include "server/adapters/prometheus_metrics.h"

#include "prometheus/text_serializer.h"
#include "server/telemetry/metric_table.h"

namespace trainyard::adapters {
namespace {

using telemetry::Metric;
using Buckets = prometheus::Histogram::BucketBoundaries;

Buckets FastSeconds() {
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
          0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
}

// From a millisecond to a week.
Buckets SlowSeconds() {
  return {0.001, 0.01, 0.1,  1,        5,         15,    60,
          300,   900,  3600, 4 * 3600, 12 * 3600, 86400, 7 * 86400};
}

Buckets Sizes() {
  return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000};
}

// A builder's family under the table's name and help.
template <typename Builder>
auto& Family(prometheus::Registry& registry, Builder builder, Metric metric) {
  const telemetry::MetricInfo& info = telemetry::Describe(metric);
  return builder.Name(info.name).Help(info.help).Register(registry);
}

auto& Counters(prometheus::Registry& registry, Metric metric) {
  return Family(registry, prometheus::BuildCounter(), metric);
}

auto& Gauges(prometheus::Registry& registry, Metric metric) {
  return Family(registry, prometheus::BuildGauge(), metric);
}

auto& Histograms(prometheus::Registry& registry, Metric metric) {
  return Family(registry, prometheus::BuildHistogram(), metric);
}

const char* NameOf(core::JobState state) {
  switch (state) {
    case core::JobState::kSucceeded:
      return "succeeded";
    case core::JobState::kFailed:
      return "failed";
    case core::JobState::kCancelled:
      return "cancelled";
    default:
      return "other";
  }
}

const char* NameOf(core::Outcome outcome) {
  switch (outcome) {
    case core::Outcome::kSucceeded:
      return "succeeded";
    case core::Outcome::kFailed:
      return "failed";
    case core::Outcome::kLost:
      return "lost";
    case core::Outcome::kCancelled:
      return "cancelled";
    case core::Outcome::kPreempted:
      return "preempted";
    default:
      return "other";
  }
}

}  // namespace

PrometheusMetrics::PrometheusMetrics(const std::string& version)
    : registry_(std::make_shared<prometheus::Registry>()),
      sources_(std::make_shared<CollectableSet>()) {
  sources_->Add(registry_);
  prometheus::Registry& r = *registry_;
  Gauges(r, Metric::kBuildInfo).Add({{"version", version}}).Set(1);
  commit_seconds_ =
      &Histograms(r, Metric::kCommitSeconds).Add({}, FastSeconds());
  commit_commands_ = &Histograms(r, Metric::kCommitCommands).Add({}, Sizes());
  commit_records_ = &Counters(r, Metric::kCommitRecords).Add({});
  commit_failures_ = &Counters(r, Metric::kCommitFailures).Add({});
  jobs_submitted_ = &Counters(r, Metric::kJobsSubmitted).Add({});
  queue_wait_seconds_ =
      &Histograms(r, Metric::kQueueWait).Add({}, SlowSeconds());
  jobs_ended_ = &Counters(r, Metric::kJobsEnded);
  run_seconds_ = &Histograms(r, Metric::kRunSeconds).Add({}, SlowSeconds());
  attempts_ended_ = &Counters(r, Metric::kAttemptsEnded);
  auto& jobs = Gauges(r, Metric::kJobs);
  jobs_queued_ = &jobs.Add({{"state", "queued"}});
  jobs_starting_ = &jobs.Add({{"state", "starting"}});
  jobs_running_ = &jobs.Add({{"state", "running"}});
  inbox_ = &Gauges(r, Metric::kInboxCommands).Add({});
  auto& workers = Gauges(r, Metric::kWorkers);
  workers_online_ = &workers.Add({{"state", "online"}});
  workers_silent_ = &workers.Add({{"state", "silent"}});
  workers_lost_ = &Counters(r, Metric::kWorkersLost).Add({});
  rpcs_ = &Counters(r, Metric::kRpcs);
  rpc_seconds_ = &Histograms(r, Metric::kRpcSeconds);
  streams_ = &Gauges(r, Metric::kStreams);
  telemetry_lines_ = &Counters(r, Metric::kTelemetryLines).Add({});
  telemetry_points_ = &Counters(r, Metric::kTelemetryPoints).Add({});
}

PrometheusMetrics::~PrometheusMetrics() = default;

void PrometheusMetrics::Add(std::weak_ptr<prometheus::Collectable> source) {
  sources_->Add(std::move(source));
}

std::string PrometheusMetrics::Render() const {
  return prometheus::TextSerializer().Serialize(sources_->Collect());
}

void PrometheusMetrics::OnCommit(size_t commands, size_t records,
                                 absl::Duration duration) {
  commit_seconds_->Observe(absl::ToDoubleSeconds(duration));
  commit_commands_->Observe(static_cast<double>(commands));
  commit_records_->Increment(static_cast<double>(records));
}

void PrometheusMetrics::OnCommitFailure() { commit_failures_->Increment(); }

void PrometheusMetrics::OnJobSubmitted() { jobs_submitted_->Increment(); }

void PrometheusMetrics::OnJobPlaced(absl::Duration queue_wait) {
  queue_wait_seconds_->Observe(absl::ToDoubleSeconds(queue_wait));
}

void PrometheusMetrics::OnJobEnded(core::JobState state,
                                   absl::Duration run_time) {
  jobs_ended_->Add({{"state", NameOf(state)}}).Increment();
  run_seconds_->Observe(absl::ToDoubleSeconds(run_time));
}

void PrometheusMetrics::OnAttemptEnded(core::Outcome outcome) {
  attempts_ended_->Add({{"outcome", NameOf(outcome)}}).Increment();
}

void PrometheusMetrics::OnWorkerLost() { workers_lost_->Increment(); }

void PrometheusMetrics::OnGauges(size_t queued, size_t starting, size_t running,
                                 size_t inbox, size_t workers_online,
                                 size_t workers_silent) {
  jobs_queued_->Set(static_cast<double>(queued));
  jobs_starting_->Set(static_cast<double>(starting));
  jobs_running_->Set(static_cast<double>(running));
  inbox_->Set(static_cast<double>(inbox));
  workers_online_->Set(static_cast<double>(workers_online));
  workers_silent_->Set(static_cast<double>(workers_silent));
}

PrometheusMetrics::Call PrometheusMetrics::FindCall(absl::string_view method,
                                                    absl::string_view code) {
  std::pair<std::string, std::string> key(method, code);
  absl::MutexLock lock(&mutex_);
  const auto found = calls_.find(key);
  if (found != calls_.end()) return found->second;
  const prometheus::Labels labels = {{"method", key.first},
                                     {"code", key.second}};
  const Call call{&rpcs_->Add(labels),
                  &rpc_seconds_->Add(labels, FastSeconds())};
  calls_.emplace(std::move(key), call);
  return call;
}

void PrometheusMetrics::OnCall(absl::string_view method, absl::string_view code,
                               absl::Duration duration) {
  const Call call = FindCall(method, code);
  call.handled->Increment();
  call.seconds->Observe(absl::ToDoubleSeconds(duration));
}

void PrometheusMetrics::OnStreamOpened(absl::string_view method) {
  streams_->Add({{"method", std::string(method)}}).Increment();
}

void PrometheusMetrics::OnStreamEnded(absl::string_view method,
                                      absl::string_view code) {
  streams_->Add({{"method", std::string(method)}}).Decrement();
  rpcs_->Add({{"method", std::string(method)}, {"code", std::string(code)}})
      .Increment();
}

void PrometheusMetrics::OnTelemetry(size_t lines, size_t points) {
  telemetry_lines_->Increment(static_cast<double>(lines));
  telemetry_points_->Increment(static_cast<double>(points));
}

}  // namespace trainyard::adapters
