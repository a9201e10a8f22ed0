#include "server/core/cluster.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/core/lifecycle.h"

namespace trainyard::core {
namespace {

absl::Status Unexpected(const Record& record, absl::string_view what) {
  return absl::InternalError(absl::StrCat(
      "record ", record.revision, " of jobs/", record.job.value(), ": ", what));
}

Trail& TrailOf(Job& job) {
  if (job.trail == nullptr) job.trail = std::make_unique<Trail>();
  return *job.trail;
}

std::unique_ptr<Job> MakeJob(JobId id, std::string request_id,
                             const SchedulingSpec& scheduling,
                             absl::Time submit_time, Lane* lane) {
  auto job = std::make_unique<Job>();
  job->id = id;
  job->request_id = std::move(request_id);
  job->priority = scheduling.priority;
  job->max_retries = scheduling.max_retries;
  job->backoff = scheduling.backoff;
  job->run_time_limit = scheduling.run_time_limit;
  job->queue_time_limit = scheduling.queue_time_limit;
  job->submit_time = submit_time;
  job->queued_since = submit_time;
  job->lane = lane;
  return job;
}

// Whether it may want several devices.
bool IsWide(const Needs& needs) {
  return std::any_of(
      needs.devices.begin(), needs.devices.end(),
      [](const DeviceRequest& request) { return request.count > 1; });
}

}  // namespace

absl::Status Cluster::Apply(const Record& record) {
  const Revision expected = revision_ + (IsDurable(record) ? 1 : 0);
  if (record.revision != expected) {
    return Unexpected(record,
                      absl::StrCat("its revision should be ", expected));
  }
  AdvanceTo(record.time);
  RETURN_IF_ERROR(std::visit(
      [&](const auto& change) { return On(record, change); }, record.change));
  revision_ = record.revision;
  return absl::OkStatus();
}

absl::Status Cluster::Restore(RestoredJob restored, absl::Time now) {
  if (IsFinal(restored.state)) {
    return absl::InternalError(absl::StrCat("jobs/", restored.id.value(),
                                            " is restored as live, but ",
                                            JobStateName(restored.state)));
  }
  const bool placed = restored.state != JobState::kQueued;
  if (placed != restored.attempt.has_value()) {
    return absl::InternalError(
        absl::StrCat("jobs/", restored.id.value(), " is restored as ",
                     JobStateName(restored.state),
                     placed ? " without" : " with", " a live attempt"));
  }
  auto job =
      MakeJob(restored.id, std::move(restored.request_id), restored.scheduling,
              restored.submit_time, queues_.Join(restored.scheduling, now));
  job->state = restored.state;
  job->cancel_requested = restored.cancel_requested;
  job->failures = restored.failures;
  job->losses = restored.losses;
  job->last_attempt = restored.last_attempt;
  job->not_before = restored.not_before;
  job->queued_since = std::max(restored.submit_time, restored.not_before);
  if (restored.checkpoint.has_value() || !restored.avoid.empty() ||
      restored.cancel_requested) {
    job->trail = std::make_unique<Trail>(
        Trail{std::move(restored.checkpoint), std::move(restored.avoid),
              std::move(restored.cancel_reason)});
  }
  if (restored.attempt.has_value()) {
    job->attempt = std::make_unique<LiveAttempt>(*std::move(restored.attempt));
    job->attempt->placed_revision = revision_;
    Hold(*job, now);
    if (const std::optional<Preemption>& preemption = job->attempt->preemption;
        preemption.has_value()) {
      claims_.Add(preemption->by, job->attempt->worker, job->attempt_key());
    }
  }
  Add(std::move(job), now);
  return absl::OkStatus();
}

void Cluster::RestoreQueue(const QueueName& queue,
                           const QueueSettings& settings) {
  queues_.Set(queue, settings);
}

void Cluster::RestorePast(const AccountPast& account, absl::Time now) {
  queues_.RestorePast(account, now);
}

void Cluster::RestoreDraining(const WorkerName& worker, absl::Time now) {
  fleet_.SetDraining(worker, true, now);
}

const Job* Cluster::FindJob(JobId job) const {
  const auto it = jobs_.find(job);
  return it == jobs_.end() ? nullptr : it->second.get();
}

JobId Cluster::FindRequest(absl::string_view request_id) const {
  const auto it = requests_.find(request_id);
  return it == requests_.end() ? JobId() : (*it)->id;
}

size_t Cluster::CountJobs(JobState state) const {
  const size_t index = static_cast<size_t>(state);
  return index < counts_.size() ? counts_[index] : 0;
}

Job* Cluster::FindMutable(JobId job) {
  const auto it = jobs_.find(job);
  return it == jobs_.end() ? nullptr : it->second.get();
}

absl::Status Cluster::FindHolder(const Record& record, uint32_t attempt,
                                 Job** job) {
  *job = FindMutable(record.job);
  if (*job == nullptr) return Unexpected(record, "the job is not live");
  if ((*job)->attempt == nullptr || (*job)->attempt->number != attempt) {
    return Unexpected(record,
                      absl::StrCat("attempt ", attempt, " is not live"));
  }
  return absl::OkStatus();
}

absl::Status Cluster::Move(Job& job, JobState to) {
  RETURN_IF_ERROR(CheckMove(job.id, job.state, to));
  --counts_[static_cast<size_t>(job.state)];
  ++counts_[static_cast<size_t>(to)];
  job.state = to;
  return absl::OkStatus();
}

void Cluster::Add(std::unique_ptr<Job> job, absl::Time now) {
  ++counts_[static_cast<size_t>(job->state)];
  last_job_ = std::max(last_job_, job->id);
  if (!job->request_id.empty()) requests_.insert(job.get());
  if (job->state == JobState::kQueued) {
    queues_.Wait(*job, now);
    ++openings_;
  }
  InsertDeadline(*job);
  jobs_[job->id] = std::move(job);
}

void Cluster::Hold(const Job& job, absl::Time now) {
  fleet_.Hold(job.attempt_key(), *job.attempt, now);
  queues_.Hold(job);
  placed_.emplace(job.priority, -absl::ToUnixMicros(job.attempt->place_time),
                  job.attempt_key());
}

void Cluster::Release(const Job& job, absl::Time now) {
  fleet_.Release(job.attempt_key(), *job.attempt);
  queues_.Release(job, now);
  placed_.erase({job.priority, -absl::ToUnixMicros(job.attempt->place_time),
                 job.attempt_key()});
  const std::optional<Preemption>& preemption = job.attempt->preemption;
  if (!preemption.has_value()) return;
  const Job* by = FindJob(preemption->by);
  claims_.Release(preemption->by, job.attempt_key(),
                  by != nullptr && by->state == JobState::kQueued, now);
}

void Cluster::EraseDeadline(const Job& job) {
  deadlines_.erase({job.deadline(), job.id});
}

void Cluster::InsertDeadline(const Job& job) {
  const absl::Time deadline = job.deadline();
  if (deadline != absl::InfiniteFuture()) deadlines_.insert({deadline, job.id});
}

void Cluster::AdvanceTo(absl::Time now) {
  for (JobId id = queues_.TakeDue(now); id != JobId();
       id = queues_.TakeDue(now)) {
    queues_.Wait(*jobs_.at(id), now);
    ++openings_;
  }
}

absl::Status Cluster::On(const Record& record, const JobSubmitted& change) {
  if (record.job.value() != last_job_.value() + 1) {
    return Unexpected(
        record, absl::StrCat("the next job is jobs/", last_job_.value() + 1));
  }
  if (!change.request_id.empty() &&
      requests_.contains(absl::string_view(change.request_id))) {
    return Unexpected(record, "its request_id made a live job already");
  }
  Add(MakeJob(record.job, change.request_id, change.scheduling, record.time,
              queues_.Join(change.scheduling, record.time)),
      record.time);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const AttemptPlaced& change) {
  Job* job = FindMutable(record.job);
  if (job == nullptr) return Unexpected(record, "the job is not live");
  if (change.attempt != job->last_attempt + 1) {
    return Unexpected(
        record, absl::StrCat("the next attempt is ", job->last_attempt + 1));
  }
  if (const Worker* worker = fleet_.Find(change.worker); worker != nullptr) {
    for (const std::string& device : change.devices) {
      if (worker->holders.contains(device)) {
        return Unexpected(record,
                          absl::StrCat("device ", device, " of workers/",
                                       change.worker.value(), " is taken"));
      }
    }
  }
  EraseDeadline(*job);
  RETURN_IF_ERROR(Move(*job, JobState::kStarting));
  queues_.Remove(*job);
  if (job->trail != nullptr) job->trail->avoid = WorkerName();
  job->last_attempt = change.attempt;
  job->attempt = std::make_unique<LiveAttempt>();
  job->attempt->number = change.attempt;
  job->attempt->worker = change.worker;
  job->attempt->instance = change.instance;
  job->attempt->kind = change.kind;
  job->attempt->devices = change.devices;
  job->attempt->place_time = record.time;
  job->attempt->placed_revision = record.revision;
  Hold(*job, record.time);
  claims_.Settle(job->id);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const AttemptStarted& change) {
  Job* job = nullptr;
  RETURN_IF_ERROR(FindHolder(record, change.attempt, &job));
  EraseDeadline(*job);
  RETURN_IF_ERROR(Move(*job, JobState::kRunning));
  job->attempt->start_time = record.time;
  InsertDeadline(*job);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const AttemptPreempted& change) {
  Job* job = nullptr;
  RETURN_IF_ERROR(FindHolder(record, change.attempt, &job));
  const JobId by = change.preemption.by;
  if (job->attempt->preemption.has_value() || FindJob(by) == nullptr) {
    return Unexpected(record,
                      absl::StrCat("cannot be preempted by jobs/", by.value()));
  }
  EraseDeadline(*job);
  job->attempt->preemption = change.preemption;
  InsertDeadline(*job);
  claims_.Add(by, job->attempt->worker, job->attempt_key());
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const CheckpointStored& change) {
  Job* job = nullptr;
  RETURN_IF_ERROR(FindHolder(record, change.attempt, &job));
  TrailOf(*job).checkpoint = change.checkpoint;
  job->losses = 0;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const AttemptOverdue& change) {
  Job* job = nullptr;
  RETURN_IF_ERROR(FindHolder(record, change.attempt, &job));
  EraseDeadline(*job);
  job->attempt->overdue = true;
  InsertDeadline(*job);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const GraceEnded& change) {
  Job* job = nullptr;
  RETURN_IF_ERROR(FindHolder(record, change.attempt, &job));
  EraseDeadline(*job);
  job->attempt->grace_ended = true;
  InsertDeadline(*job);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const AttemptEnded& change) {
  Job* job = nullptr;
  RETURN_IF_ERROR(FindHolder(record, change.attempt, &job));
  EraseDeadline(*job);
  Release(*job, record.time);
  if (change.outcome == Outcome::kFailed || change.outcome == Outcome::kLost) {
    TrailOf(*job).avoid = job->attempt->worker;
  }
  job->attempt.reset();
  ++openings_;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const JobRequeued& change) {
  Job* job = FindMutable(record.job);
  if (job == nullptr) return Unexpected(record, "the job is not live");
  if (job->attempt != nullptr) {
    return Unexpected(record, "requeued before its attempt ended");
  }
  RETURN_IF_ERROR(Move(*job, JobState::kQueued));
  job->failures = change.failures;
  job->losses = change.losses;
  job->not_before = change.not_before;
  job->queued_since = std::max(record.time, change.not_before);
  queues_.Wait(*job, record.time);
  ++openings_;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const CancelRequested& change) {
  Job* job = FindMutable(record.job);
  if (job == nullptr) return Unexpected(record, "the job is not live");
  job->cancel_requested = true;
  TrailOf(*job).cancel_reason = change.reason;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const JobEnded& change) {
  Job* job = FindMutable(record.job);
  if (job == nullptr) return Unexpected(record, "the job is not live");
  if (job->attempt != nullptr) {
    return Unexpected(record, "ended before its attempt ended");
  }
  if (!IsFinal(change.state)) {
    return Unexpected(record, "ended in a state that is not final");
  }
  RETURN_IF_ERROR(CheckMove(job->id, job->state, change.state));
  --counts_[static_cast<size_t>(job->state)];
  EraseDeadline(*job);
  if (job->state == JobState::kQueued) {
    queues_.Remove(*job);
    // Devices may have been kept for it.
    if (IsWide(*job->lane->needs)) ++openings_;
  }
  if (claims_.Settle(job->id)) ++openings_;
  if (!job->request_id.empty()) requests_.erase(job);
  queues_.Leave(job->lane, record.time);
  jobs_.erase(record.job);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const WorkerDrainSet& change) {
  fleet_.SetDraining(change.worker, change.draining, record.time);
  if (!change.draining) ++openings_;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const QueueSet& change) {
  queues_.Set(change.queue, change.settings);
  ++openings_;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const QueueDeleted& change) {
  const Queue* queue = queues_.Find(change.queue);
  if (queue == nullptr || queue->jobs > 0) {
    return Unexpected(
        record,
        absl::StrCat("queues/", change.queue.value(),
                     queue == nullptr ? " is not there" : " has live jobs"));
  }
  queues_.Erase(change.queue);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const QueueHoursReset& change) {
  queues_.ResetHours(change.queue, record.time);
  ++openings_;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const WorkerReported& change) {
  const bool opens = Opens(change.report);
  fleet_.Report(change.report, record.time);
  if (opens) ++openings_;
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record,
                         const WorkerDisconnected& change) {
  fleet_.Disconnect(change.worker);
  return absl::OkStatus();
}

absl::Status Cluster::On(const Record& record, const WorkerLost& change) {
  const Worker* worker = fleet_.Find(change.worker);
  if (worker != nullptr && !worker->attempts.empty()) {
    return Unexpected(record, absl::StrCat("workers/", change.worker.value(),
                                           " is lost before its attempts"));
  }
  fleet_.Lose(change.worker);
  return absl::OkStatus();
}

bool Cluster::Opens(const WorkerReport& report) const {
  const Worker* worker = fleet_.Find(report.worker);
  if (worker == nullptr || !worker->IsOpen()) return true;
  if (worker->labels != report.labels) return true;
  for (const Device& device : report.devices) {
    const auto before = std::find_if(
        worker->devices.begin(), worker->devices.end(), [&](const Device& old) {
          return old.id == device.id && old.kind == device.kind;
        });
    if (before == worker->devices.end()) return true;
    if (device.free_memory_bytes <= before->free_memory_bytes) continue;
    // More free memory matters only to those who waited for it.
    if (queues_.WaitsForMemory(device.kind, before->free_memory_bytes,
                               device.free_memory_bytes)) {
      return true;
    }
  }
  return false;
}

}  // namespace trainyard::core
