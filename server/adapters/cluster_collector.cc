#include "server/adapters/cluster_collector.h"

#include <sys/statvfs.h>

#include <array>
#include <utility>

#include "absl/synchronization/notification.h"
#include "server/core/queue_summary.h"

namespace trainyard::adapters {
namespace {

using telemetry::Label;
using telemetry::Metric;

constexpr core::DeviceKind kKinds[] = {
    core::DeviceKind::kCpu, core::DeviceKind::kCuda, core::DeviceKind::kMps};

const char* NameOf(core::DeviceKind kind) {
  switch (kind) {
    case core::DeviceKind::kCpu:
      return "cpu";
    case core::DeviceKind::kCuda:
      return "cuda";
    case core::DeviceKind::kMps:
      return "mps";
  }
  return "other";
}

telemetry::WorkerView MakeView(const core::Worker& worker) {
  telemetry::WorkerView view;
  view.name = worker.name.value();
  view.online = worker.state == core::WorkerState::kOnline;
  view.draining = worker.draining || worker.leaving;
  view.last_seen = worker.last_seen;
  view.attempts = worker.attempts.size();
  view.devices.reserve(worker.devices.size());
  for (const core::Device& device : worker.devices) {
    view.devices.push_back({device.id, NameOf(device.kind), device.model,
                            device.memory_bytes, device.free_memory_bytes,
                            !worker.IsIdle(device)});
  }
  return view;
}

// Samples by metric, in the table's order.
class Families {
 public:
  void Add(Metric metric, absl::Span<const Label> labels, double value) {
    prometheus::MetricFamily& family = families_[static_cast<size_t>(metric)];
    prometheus::ClientMetric& added = family.metric.emplace_back();
    added.label.reserve(labels.size());
    for (const Label& label : labels) {
      prometheus::ClientMetric::Label& pair = added.label.emplace_back();
      pair.name = label.name;
      pair.value.assign(label.value.data(), label.value.size());
    }
    added.gauge.value = value;
  }

  std::vector<prometheus::MetricFamily> Take() {
    std::vector<prometheus::MetricFamily> taken;
    for (size_t i = 0; i < families_.size(); ++i) {
      if (families_[i].metric.empty()) continue;
      const telemetry::MetricInfo& info =
          telemetry::Describe(static_cast<Metric>(i));
      families_[i].name = info.name;
      families_[i].help = info.help;
      families_[i].type = prometheus::MetricType::Gauge;
      taken.push_back(std::move(families_[i]));
    }
    return taken;
  }

 private:
  std::array<prometheus::MetricFamily, telemetry::kMetrics> families_;
};

void SampleDisk(const std::string& folder, telemetry::AddSample add) {
  struct statvfs disk;
  if (statvfs(folder.c_str(), &disk) != 0) return;
  const double block = static_cast<double>(disk.f_frsize);
  add(Metric::kDiskFree, {}, static_cast<double>(disk.f_bavail) * block);
  add(Metric::kDiskSize, {}, static_cast<double>(disk.f_blocks) * block);
}

}  // namespace

telemetry::ClusterView MakeView(const core::Cluster& cluster, absl::Time now) {
  telemetry::ClusterView view;
  for (const auto& [name, worker] : cluster.workers()) {
    if (worker.state == core::WorkerState::kLost ||
        worker.state == core::WorkerState::kLeft) {
      continue;
    }
    view.workers.push_back(MakeView(worker));
    for (const core::AttemptKey& key : worker.attempts) {
      const core::Job* job = cluster.FindJob(key.job);
      if (job == nullptr || job->state != core::JobState::kRunning) continue;
      view.runs[key.job.value()] = {key.attempt, name.value()};
    }
  }
  const core::QueueSummary queue = core::Summarize(cluster, now);
  view.oldest_wait = queue.oldest_wait;
  for (const core::DeviceKind kind : kKinds) {
    view.wanted.push_back(
        {NameOf(kind), queue.wanted_devices[static_cast<size_t>(kind)]});
  }
  return view;
}

ClusterCollector::ClusterCollector(ClusterCollectorOptions options,
                                   const Clock* clock, engine::Engine* engine,
                                   const telemetry::FleetReadings* fleet,
                                   telemetry::JobReadings* jobs)
    : options_(std::move(options)),
      clock_(clock),
      start_time_(clock->Now()),
      engine_(engine),
      fleet_(fleet),
      jobs_(jobs) {}

void ClusterCollector::Refresh() const {
  // Outlives a scrape that gave up waiting.
  struct Answer {
    telemetry::ClusterView view;
    absl::Notification ready;
  };
  const absl::Time now = clock_->Now();
  const absl::Duration age = now - viewed_at_;
  if (age >= absl::ZeroDuration() && age < options_.shortest_interval) return;
  const auto answer = std::make_shared<Answer>();
  const bool taken = engine_->Read([answer, now](const core::Cluster& cluster) {
    answer->view = MakeView(cluster, now);
    answer->ready.Notify();
  });
  if (!taken ||
      !answer->ready.WaitForNotificationWithTimeout(options_.patience)) {
    return;
  }
  view_ = std::move(answer->view);
  viewed_at_ = now;
}

std::vector<prometheus::MetricFamily> ClusterCollector::Collect() const {
  absl::MutexLock lock(&mutex_);
  if (engine_ == nullptr) return {};
  Refresh();
  Families families;
  const auto add = [&families](Metric metric, absl::Span<const Label> labels,
                               double value) {
    families.Add(metric, labels, value);
  };
  add(Metric::kStartTime, {},
      absl::ToDoubleSeconds(start_time_ - absl::UnixEpoch()));
  SampleDisk(options_.state_dir, add);
  telemetry::SampleQueue(view_, add);
  telemetry::SampleWorkers(view_, fleet_->All(), add);
  const auto runs =
      [this](telemetry::AttemptId id) ABSL_NO_THREAD_SAFETY_ANALYSIS {
        const auto found = view_.runs.find(id.job);
        return found != view_.runs.end() && found->second.attempt == id.attempt;
      };
  telemetry::SampleJobs(view_, jobs_->Keep(runs), telemetry::kMaxJobSeries,
                        add);
  return families.Take();
}

void ClusterCollector::Detach() {
  absl::MutexLock lock(&mutex_);
  engine_ = nullptr;
}

}  // namespace trainyard::adapters
