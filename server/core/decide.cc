#include "server/core/decide.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/core/draft.h"
#include "server/core/ending.h"
#include "server/core/lifecycle.h"

namespace trainyard::core {
namespace {

struct Context {
  const Cluster& cluster;
  const Policy& policy;
  const History& history;
  Draft& draft;
};

absl::Status CheckDevices(const SchedulingSpec& scheduling) {
  if (scheduling.devices.empty()) {
    return absl::InvalidArgumentError(
        "resources.devices is empty; name at least one kind of device");
  }
  for (const DeviceRequest& request : scheduling.devices) {
    if (request.count == 0) {
      return absl::InvalidArgumentError(
          "resources.devices.count is 0; it should be at least 1");
    }
  }
  return absl::OkStatus();
}

// The queue's name as callers write it.
std::string Name(const QueueName& queue) {
  return absl::StrCat("queues/", queue.value());
}

Reply On(const Context& context, const SubmitJobs& command) {
  const Cluster& cluster = context.cluster;
  Reply reply;
  uint64_t next = cluster.last_job().value() + 1;
  size_t live = cluster.live_jobs();
  absl::flat_hash_map<std::string, JobId> in_batch;
  for (const Submission& submission : command.submissions) {
    SubmitResult& result = reply.submits.emplace_back();
    const std::string& request = submission.request_id;
    if (!request.empty()) {
      result.job = cluster.FindRequest(request);
      if (result.job != JobId()) continue;
      if (const auto it = in_batch.find(request); it != in_batch.end()) {
        result.job = it->second;
        continue;
      }
      const auto past = context.history.requests.find(request);
      if (past != context.history.requests.end()) {
        result.job = past->second;
        continue;
      }
    }
    result.status = CheckDevices(submission.scheduling);
    result.status.Update(CheckTakesJobs(cluster, submission.scheduling.queue));
    if (result.status.ok() && live >= context.policy.max_live_jobs) {
      result.status = absl::ResourceExhaustedError(absl::StrCat(
          "the queue is full: ", live, " jobs are live, the limit is ",
          context.policy.max_live_jobs, "; try again when some have ended"));
    }
    if (!result.status.ok()) continue;
    result.job = JobId(next++);
    ++live;
    if (!request.empty()) in_batch[request] = result.job;
    context.draft.Add(result.job,
                      JobSubmitted{request, submission.name, submission.spec,
                                   submission.scheduling, submission.labels});
    result.revision = context.draft.revision();
    result.time = context.draft.now();
  }
  return reply;
}

Reply On(const Context& context, const CancelJob& command) {
  const Job* job = context.cluster.FindJob(command.job);
  if (job == nullptr) {
    const auto past = context.history.states.find(command.job);
    if (past == context.history.states.end()) {
      return {absl::NotFoundError(absl::StrCat("jobs/", command.job.value(),
                                               " does not exist")),
              {}};
    }
    if (past->second == JobState::kCancelled) return {};
    return {
        absl::FailedPreconditionError(absl::StrCat(
            "jobs/", command.job.value(), " is ", JobStateName(past->second),
            " already and cannot be cancelled")),
        {}};
  }
  if (job->attempt == nullptr) {
    context.draft.Add(job->id,
                      JobEnded{JobState::kCancelled, command.reason, {}});
  } else if (!job->cancel_requested) {
    context.draft.Add(job->id, CancelRequested{command.reason});
  }
  return {};
}

Reply On(const Context& context, const DrainWorker& command) {
  const Worker* worker = context.cluster.FindWorker(command.worker);
  if (worker == nullptr) {
    return {absl::NotFoundError(absl::StrCat("workers/", command.worker.value(),
                                             " is not known")),
            {}};
  }
  if (worker->draining != command.draining) {
    context.draft.Add(WorkerDrainSet{command.worker, command.draining});
  }
  return {};
}

absl::Status CheckSettings(const QueueSettings& settings) {
  if (!std::isfinite(settings.weight) || settings.weight <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "weight is ", settings.weight, "; it must be a number above 0"));
  }
  const std::optional<double>& hours = settings.quota.device_hours;
  if (hours.has_value() && (!std::isfinite(*hours) || *hours < 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("quota.device_hours is ", *hours,
                     "; it must be a number of at least 0"));
  }
  return absl::OkStatus();
}

Reply On(const Context& context, const SetQueue& command) {
  if (command.queue.empty()) {
    return {absl::InvalidArgumentError("queue must not be empty"), {}};
  }
  if (absl::Status status = CheckSettings(command.settings); !status.ok()) {
    return {status, {}};
  }
  const Queue* queue = context.cluster.queues().Find(command.queue);
  const size_t known = context.cluster.queues().queues().size();
  if (queue == nullptr && known >= context.policy.max_queues) {
    return {absl::ResourceExhaustedError(absl::StrCat(
                "there are ", known, " queues, the limit is ",
                context.policy.max_queues, "; delete one that nobody uses")),
            {}};
  }
  if (queue == nullptr || queue->settings != command.settings) {
    context.draft.Add(QueueSet{command.queue, command.settings});
  }
  return {};
}

Reply On(const Context& context, const DeleteQueue& command) {
  const Queue* queue = context.cluster.queues().Find(command.queue);
  if (queue == nullptr) {
    return {absl::NotFoundError(
                absl::StrCat(Name(command.queue), " does not exist")),
            {}};
  }
  if (command.queue == QueueName(kDefaultQueue)) {
    return {absl::FailedPreconditionError(absl::StrCat(
                Name(command.queue),
                " is where jobs go that name no queue and cannot be deleted; "
                "close it to take no more jobs")),
            {}};
  }
  if (queue->jobs > 0) {
    return {absl::FailedPreconditionError(absl::StrCat(
                Name(command.queue), " has ", queue->jobs,
                queue->jobs == 1 ? " job that is" : " jobs that are",
                " not over; drain it and delete it when it is empty")),
            {}};
  }
  context.draft.Add(QueueDeleted{command.queue});
  return {};
}

Reply On(const Context& context, const ResetQueueHours& command) {
  if (context.cluster.queues().Find(command.queue) == nullptr) {
    return {absl::NotFoundError(
                absl::StrCat(Name(command.queue), " does not exist")),
            {}};
  }
  context.draft.Add(QueueHoursReset{command.queue});
  return {};
}

absl::Status CheckReport(const Context& context, const WorkerReport& report) {
  if (report.worker.empty() || report.instance.empty()) {
    return absl::InvalidArgumentError(
        "worker and instance_id must not be empty");
  }
  absl::flat_hash_set<std::string> ids;
  for (const Device& device : report.devices) {
    if (device.id.empty() || !ids.insert(device.id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("devices.id \"", device.id,
                       "\" is empty or there twice; it must be unique"));
    }
  }
  const Worker* worker = context.cluster.FindWorker(report.worker);
  if (worker == nullptr) {
    const size_t known = context.cluster.workers().size();
    if (known < context.policy.max_workers) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        absl::StrCat(known, " workers are known, the limit is ",
                     context.policy.max_workers));
  }
  if (worker->IsFenced(report.instance)) {
    return absl::FailedPreconditionError(
        absl::StrCat("workers/", report.worker.value(), " is now instance ",
                     worker->instance, "; this one (", report.instance,
                     ") was replaced: give each worker its own name"));
  }
  return absl::OkStatus();
}

// Why the worker stopped an attempt that could have gone on.
std::string PreemptionCause(const Context& context,
                            const WorkerReport& report) {
  const Worker* worker = context.cluster.FindWorker(report.worker);
  if (worker != nullptr && worker->draining) return "it is drained";
  if (report.leaving || (worker != nullptr && worker->leaving)) {
    return "it leaves";
  }
  return "it handed the job back";
}

// What the worker says of one attempt; news that does not come from the holder
// of the job's live attempt is dropped.
void HearAttempt(const Context& context, const WorkerReport& report,
                 const AttemptStatus& status) {
  const Job* job = context.cluster.FindJob(status.key.job);
  if (job == nullptr || job->attempt == nullptr ||
      job->attempt->number != status.key.attempt ||
      job->attempt->worker != report.worker ||
      job->attempt->instance != report.instance) {
    return;
  }
  const std::optional<Checkpoint> stored = job->checkpoint();
  const bool progressed =
      status.checkpoint.has_value() &&
      (!stored.has_value() || status.checkpoint->step > stored->step);
  if (progressed) {
    context.draft.Add(job->id,
                      CheckpointStored{status.key.attempt, *status.checkpoint});
  }
  if (status.phase == Phase::kRunning && job->state == JobState::kStarting) {
    context.draft.Add(job->id, AttemptStarted{status.key.attempt});
  }
  if (status.phase == Phase::kEnded) {
    EndAttempt(*job,
               Ending{.outcome = status.outcome,
                      .failure = status.failure,
                      .outputs = status.outputs,
                      .cause = status.outcome == Outcome::kPreempted
                                   ? PreemptionCause(context, report)
                                   : "",
                      .progressed = progressed},
               context.policy, context.draft);
  }
}

void LoseAttempt(const Context& context, const AttemptKey& key,
                 std::string cause) {
  const Job* job = context.cluster.FindJob(key.job);
  if (job == nullptr || job->attempt == nullptr) return;
  EndAttempt(*job, Ending{.outcome = Outcome::kLost, .cause = std::move(cause)},
             context.policy, context.draft);
}

Reply On(const Context& context, const ReportWorker& command) {
  const WorkerReport& report = command.report;
  if (absl::Status status = CheckReport(context, report); !status.ok()) {
    return {status, {}};
  }
  absl::flat_hash_set<AttemptKey> reported;
  for (const AttemptStatus& status : report.attempts) {
    if (reported.insert(status.key).second) {
      HearAttempt(context, report, status);
    }
  }
  if (const Worker* worker = context.cluster.FindWorker(report.worker)) {
    for (const AttemptKey& key : worker->attempts) {
      const LiveAttempt& attempt = *context.cluster.FindJob(key.job)->attempt;
      const std::string name = absl::StrCat("workers/", report.worker.value());
      if (attempt.instance != report.instance) {
        LoseAttempt(context, key, absl::StrCat(name, " started anew"));
      } else if (attempt.placed_revision <= report.applied_revision &&
                 !reported.contains(key)) {
        LoseAttempt(context, key, absl::StrCat(name, " no longer has it"));
      }
    }
  }
  WorkerReported change{report};
  change.report.attempts.clear();
  context.draft.Add(std::move(change));
  return {};
}

Reply On(const Context& context, const DisconnectWorker& command) {
  const Worker* worker = context.cluster.FindWorker(command.worker);
  if (worker != nullptr && worker->state == WorkerState::kOnline &&
      worker->instance == command.instance) {
    context.draft.Add(WorkerDisconnected{command.worker, command.instance});
  }
  return {};
}

void ExpireLeases(const Context& context, absl::Time listening_since) {
  const absl::Time now = context.draft.now();
  for (const auto& [name, worker] : context.cluster.workers()) {
    if (worker.state == WorkerState::kLost) continue;
    // Remembered: it would come back undrained.
    if (worker.state == WorkerState::kLeft && worker.draining) continue;
    const absl::Duration silence =
        now - std::max(worker.last_seen, listening_since);
    if (silence <= context.policy.worker_lease) continue;
    for (const AttemptKey& key : worker.attempts) {
      LoseAttempt(context, key,
                  absl::StrCat("workers/", name.value(), " was not heard for ",
                               absl::FormatDuration(
                                   absl::Trunc(silence, absl::Seconds(1)))));
    }
    context.draft.Add(WorkerLost{name});
  }
}

void ExpireLimits(const Context& context) {
  for (const auto& [deadline, id] : context.cluster.deadlines()) {
    if (deadline > context.draft.now()) break;
    const Job& job = *context.cluster.FindJob(id);
    if (job.attempt == nullptr) {
      context.draft.Add(
          id, JobEnded{JobState::kFailed,
                       absl::StrCat("not placed within limits.queue_time of ",
                                    absl::FormatDuration(job.queue_time_limit)),
                       {}});
      continue;
    }
    const LiveAttempt& attempt = *job.attempt;
    if (attempt.preemption.has_value() && !attempt.grace_ended &&
        attempt.preemption->stop_by <= context.draft.now()) {
      context.draft.Add(id, GraceEnded{attempt.number});
    }
    if (attempt.start_time.has_value() && !attempt.overdue &&
        *attempt.start_time + job.run_time_limit <= context.draft.now()) {
      context.draft.Add(id, AttemptOverdue{attempt.number});
    }
  }
}

Reply On(const Context& context, const Tick& command) {
  // In this order: an attempt may become overdue and lost in one tick.
  ExpireLimits(context);
  ExpireLeases(context, command.listening_since);
  return {};
}

}  // namespace

absl::Status CheckTakesJobs(const Cluster& cluster, const QueueName& name) {
  const Queue* queue = cluster.queues().Find(name);
  if (queue == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("queue \"", name.value(),
                     "\" does not exist; an administrator makes it, or "
                     "leave queue out for \"",
                     kDefaultQueue, "\""));
  }
  if (queue->settings.state != QueueState::kOpen) {
    return absl::FailedPreconditionError(absl::StrCat(
        Name(name),
        queue->settings.state == QueueState::kDraining ? " is draining"
                                                       : " is closed",
        " and takes no more jobs; submit to another queue"));
  }
  return absl::OkStatus();
}

Decision Decide(const Cluster& cluster, const Policy& policy, absl::Time now,
                const Command& command, const History& history) {
  Draft draft(cluster.revision(), now);
  const Context context{cluster, policy, history, draft};
  Decision decision;
  decision.reply =
      std::visit([&](const auto& what) { return On(context, what); }, command);
  decision.records = draft.Take();
  return decision;
}

}  // namespace trainyard::core
