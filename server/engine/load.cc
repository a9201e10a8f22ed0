#include "server/engine/load.h"

#include <utility>

#include "base/status_macros.h"

namespace trainyard::engine {
namespace {

core::RestoredJob ToRestored(StoredJob&& stored) {
  core::RestoredJob job;
  job.id = stored.id;
  job.state = stored.state;
  job.request_id = std::move(stored.request_id);
  job.scheduling = std::move(stored.scheduling);
  job.submit_time = stored.submit_time;
  job.not_before = stored.not_before;
  job.failures = stored.failures;
  job.losses = stored.losses;
  job.cancel_requested = stored.cancel_requested;
  if (stored.cancel_requested) job.cancel_reason = std::move(stored.reason);
  job.checkpoint = std::move(stored.checkpoint);
  if (stored.attempts.empty()) return job;
  StoredAttempt& last = stored.attempts.back();
  job.last_attempt = last.number;
  if (last.outcome == core::Outcome::kFailed ||
      last.outcome == core::Outcome::kLost) {
    job.avoid = last.worker;
  }
  if (last.outcome == core::Outcome::kNone) {
    core::LiveAttempt& attempt = job.attempt.emplace();
    attempt.number = last.number;
    attempt.worker = std::move(last.worker);
    attempt.instance = std::move(last.instance);
    attempt.kind = last.kind;
    attempt.devices = std::move(last.devices);
    attempt.place_time = last.place_time;
    attempt.start_time = last.start_time;
    attempt.preemption = std::move(last.preemption);
  }
  return job;
}

}  // namespace

absl::StatusOr<core::Cluster> LoadCluster(Store& store,
                                          const core::OrderPolicy& order,
                                          absl::Time now) {
  ASSIGN_OR_RETURN(Snapshot snapshot, store.Load());
  core::Cluster cluster(order, snapshot.revision, snapshot.last_job);
  for (const auto& [queue, settings] : snapshot.queues) {
    cluster.RestoreQueue(queue, settings);
  }
  for (const core::AccountPast& account : snapshot.past) {
    cluster.RestorePast(account, now);
  }
  for (StoredJob& job : snapshot.jobs) {
    RETURN_IF_ERROR(cluster.Restore(ToRestored(std::move(job)), now));
  }
  for (const core::WorkerName& worker : snapshot.draining) {
    cluster.RestoreDraining(worker, now);
  }
  return cluster;
}

absl::Status CarryWorkersOver(const core::Cluster& from, core::Cluster& to) {
  for (const auto& [name, worker] : from.workers()) {
    if (worker.instance.empty() || worker.state == core::WorkerState::kLost) {
      continue;
    }
    core::WorkerReport report;
    report.worker = name;
    report.instance = worker.instance;
    report.version = worker.version;
    report.platform = worker.platform;
    report.devices = worker.devices;
    report.labels = worker.labels;
    report.leaving = worker.leaving;
    core::Record record;
    record.revision = to.revision();
    record.time = worker.last_seen;
    record.change = core::WorkerReported{std::move(report)};
    RETURN_IF_ERROR(to.Apply(record));
    if (worker.state == core::WorkerState::kOnline) continue;
    record.change = core::WorkerDisconnected{name, worker.instance};
    RETURN_IF_ERROR(to.Apply(record));
  }
  return absl::OkStatus();
}

}  // namespace trainyard::engine
