#include "server/rpc/job_view.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/notification.h"
#include "base/status_macros.h"
#include "server/core/explain.h"
#include "server/rpc/convert_job.h"
#include "server/rpc/convert_telemetry.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxExplained = 100;
// gRPC's clients take messages of 4 MiB unless told otherwise.
constexpr size_t kMaxBytes = 3 << 20;
constexpr int kMaxStderrTails = 8;
constexpr absl::Duration kEngineDeadline = absl::Seconds(1);

// Outlives a caller that gave up waiting.
struct Answer {
  std::vector<std::string> reasons;
  absl::Notification ready;
};

// In the order of `ids`. An engine that is busy, stopped or has no news of a
// job: empty.
std::vector<std::string> Explain(const Ports& ports,
                                 std::vector<core::JobId> ids) {
  const size_t count = ids.size();
  auto answer = std::make_shared<Answer>();
  const absl::Time now = ports.clock->Now();
  const bool taken = ports.engine->Read(
      [answer, now, ids = std::move(ids)](const core::Cluster& cluster) {
        for (const core::JobId id : ids) {
          answer->reasons.push_back(core::Explain(cluster, id, now));
        }
        answer->ready.Notify();
      });
  if (taken && answer->ready.WaitForNotificationWithTimeout(kEngineDeadline)) {
    return answer->reasons;
  }
  return std::vector<std::string>(count);
}

std::string Join(absl::string_view stored, absl::string_view explained) {
  if (stored.empty() || explained.empty()) {
    return std::string(stored.empty() ? explained : stored);
  }
  return absl::StrCat(absl::StripSuffix(stored, "."), ". ", explained);
}

// The newest points of a job; figures that one has not come from those before.
constexpr size_t kRecalledPoints = 8;

// Of a job that ran before the server started; none: nullopt. An error is as
// none: the job itself is known.
std::optional<telemetry::Progress> Recall(const Ports& ports, uint64_t job) {
  const auto after = ports.points->Tail(job, telemetry::Kind::kPoint,
                                        /*attempt=*/0, kRecalledPoints);
  if (!after.ok()) return std::nullopt;
  telemetry::ReadRequest request;
  request.job = job;
  request.kind = telemetry::Kind::kPoint;
  request.after = *after;
  request.limit = kRecalledPoints;
  const auto page = ports.points->Read(request);
  if (!page.ok() || page->entries.empty()) return std::nullopt;
  std::optional<telemetry::Progress> newest;
  for (const telemetry::StoredEntry& entry : page->entries) {
    auto progress = ToProgress(entry);
    if (!progress.ok()) continue;
    if (newest.has_value()) {
      if (!progress->loss) progress->loss = newest->loss;
      if (!progress->samples_per_second) {
        progress->samples_per_second = newest->samples_per_second;
      }
    }
    newest = *progress;
  }
  if (newest.has_value()) ports.hub->Recall(job, *newest);
  return newest;
}

std::optional<telemetry::Progress> ProgressOf(const Ports& ports,
                                              const engine::StoredJob& job) {
  auto progress = ports.hub->Latest(job.id.value());
  if (progress.has_value() || job.attempts.empty()) return progress;
  return Recall(ports, job.id.value());
}

void DropOldStderr(v1::Job* job) {
  int kept = 0;
  for (int i = job->attempts_size() - 1; i >= 0; --i) {
    if (job->attempts(i).failure().stderr_tail().empty()) continue;
    if (++kept <= kMaxStderrTails) continue;
    job->mutable_attempts(i)->mutable_failure()->clear_stderr_tail();
  }
}

}  // namespace

absl::StatusOr<std::vector<v1::Job>> ViewJobs(
    const Ports& ports, const std::vector<engine::StoredJob>& stored) {
  std::vector<v1::Job> jobs;
  jobs.reserve(stored.size());
  std::vector<core::JobId> waiting;
  std::vector<size_t> places;
  size_t bytes = 0;
  for (const engine::StoredJob& item : stored) {
    ASSIGN_OR_RETURN(v1::Job job, ToProto(item));
    DropOldStderr(&job);
    bytes += job.ByteSizeLong();
    if (bytes > kMaxBytes && !jobs.empty()) break;
    if (item.state == core::JobState::kQueued &&
        waiting.size() < kMaxExplained) {
      waiting.push_back(item.id);
      places.push_back(jobs.size());
    }
    const std::optional<telemetry::Progress> progress = ProgressOf(ports, item);
    if (progress.has_value()) *job.mutable_progress() = ToProto(*progress);
    jobs.push_back(std::move(job));
  }
  if (waiting.empty()) return jobs;
  const std::vector<std::string> reasons = Explain(ports, std::move(waiting));
  for (size_t i = 0; i < places.size(); ++i) {
    v1::Job& job = jobs[places[i]];
    job.set_reason(Join(job.reason(), reasons[i]));
  }
  return jobs;
}

absl::StatusOr<v1::Job> ViewJob(const Ports& ports, core::JobId id) {
  ASSIGN_OR_RETURN(engine::StoredJob stored, ports.jobs->GetJob(id));
  std::vector<engine::StoredJob> one;
  one.push_back(std::move(stored));
  ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, ViewJobs(ports, one));
  return std::move(jobs.front());
}

}  // namespace trainyard::rpc
