#include "bench/scheduler/yard.h"

#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "server/core/placement.h"

namespace trainyard::bench {

absl::Status Yard::Do(const core::Command& command) {
  core::Decision decision = core::Decide(cluster_, policy_, now_, command);
  RETURN_IF_ERROR(decision.reply.status);
  for (const core::SubmitResult& result : decision.reply.submits) {
    RETURN_IF_ERROR(result.status);
  }
  for (const core::Record& record : decision.records) {
    RETURN_IF_ERROR(cluster_.Apply(record));
  }
  return absl::OkStatus();
}

absl::Status Yard::Place(std::vector<core::JobId>* placed) {
  cluster_.AdvanceTo(now_);
  core::PlacementPass pass(&cluster_, now_);
  while (std::optional<core::Record> record = pass.Next()) {
    RETURN_IF_ERROR(cluster_.Apply(*record));
    placed->push_back(record->job);
  }
  return absl::OkStatus();
}

absl::Status Yard::Finish(core::JobId id) {
  const core::Job* job = cluster_.FindJob(id);
  const core::Worker* worker = cluster_.FindWorker(job->attempt->worker);
  core::WorkerReport report;
  report.worker = worker->name;
  report.instance = worker->instance;
  report.devices = worker->devices;
  report.labels = worker->labels;
  for (const core::AttemptKey& key : worker->attempts) {
    core::AttemptStatus& status = report.attempts.emplace_back();
    status.key = key;
    status.phase = core::Phase::kRunning;
    if (key.job != id) continue;
    status.phase = core::Phase::kEnded;
    status.outcome = core::Outcome::kSucceeded;
  }
  return Do(core::ReportWorker{std::move(report)});
}

}  // namespace trainyard::bench
