#include "server/engine/fake_store.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/core/lifecycle.h"

namespace trainyard::engine {
namespace {

using namespace core;  // NOLINT: the records below are all its

void On(StoredJob& job, const Record& record, const AttemptPlaced& change) {
  job.state = JobState::kStarting;
  job.start_time = record.time;
  job.reason.clear();
  StoredAttempt attempt;
  attempt.number = change.attempt;
  attempt.worker = change.worker;
  attempt.instance = change.instance;
  attempt.kind = change.kind;
  attempt.devices = change.devices;
  attempt.place_time = record.time;
  job.attempts.push_back(std::move(attempt));
}

void On(StoredJob& job, const Record& record, const AttemptStarted& change) {
  job.state = JobState::kRunning;
  job.attempts.back().start_time = record.time;
}

void On(StoredJob& job, const Record& record, const CheckpointStored& change) {
  job.checkpoint = change.checkpoint;
  job.losses = 0;
}

void On(StoredJob& job, const Record& record, const AttemptPreempted& change) {
  job.attempts.back().preemption = change.preemption;
}

void On(StoredJob& job, const Record& record, const AttemptEnded& change) {
  job.attempts.back().outcome = change.outcome;
  job.attempts.back().end_time = record.time;
  job.attempts.back().failure = change.failure;
}

void On(StoredJob& job, const Record& record, const JobRequeued& change) {
  job.state = JobState::kQueued;
  job.not_before = change.not_before;
  job.failures = change.failures;
  job.losses = change.losses;
  job.reason = change.reason;
}

void On(StoredJob& job, const Record& record, const CancelRequested& change) {
  job.cancel_requested = true;
  job.reason = change.reason;
}

void On(StoredJob& job, const Record& record, const JobEnded& change) {
  job.state = change.state;
  job.end_time = record.time;
  job.reason = change.reason;
  job.outputs = change.outputs;
}

// Records about workers and those that make jobs are handled by the caller.
template <typename Change>
void On(StoredJob&, const Record&, const Change&) {}

bool Matches(const StoredJob& job, const JobQuery& query) {
  const auto has = [](const auto& wanted, const auto& value) {
    return wanted.empty() ||
           std::find(wanted.begin(), wanted.end(), value) != wanted.end();
  };
  if (!has(query.states, job.state) || !has(query.jobs, job.id)) return false;
  if (!query.name.empty() && query.name != job.name) return false;
  return std::all_of(
      query.labels.begin(), query.labels.end(), [&](const auto& label) {
        const auto it = job.labels.find(label.first);
        return it != job.labels.end() && it->second == label.second;
      });
}

absl::Status NotFound(JobId job) {
  return absl::NotFoundError(
      absl::StrCat("jobs/", job.value(), " does not exist"));
}

}  // namespace

void FakeStore::FailCommits(size_t count, absl::Status error) {
  absl::MutexLock lock(&mutex_);
  failing_commits_ = count;
  commit_error_ = std::move(error);
}

void FakeStore::FailLoads(size_t count, absl::Status error) {
  absl::MutexLock lock(&mutex_);
  failing_loads_ = count;
  load_error_ = std::move(error);
}

size_t FakeStore::commits() const {
  absl::MutexLock lock(&mutex_);
  return commits_;
}

absl::StatusOr<Snapshot> FakeStore::Load() {
  absl::MutexLock lock(&mutex_);
  if (failing_loads_ > 0) {
    --failing_loads_;
    return load_error_;
  }
  Snapshot snapshot;
  snapshot.revision = revision_;
  if (!jobs_.empty()) snapshot.last_job = jobs_.rbegin()->first;
  for (const auto& [id, job] : jobs_) {
    if (IsFinal(job.state)) continue;
    snapshot.jobs.push_back(job);
    snapshot.jobs.back().spec.clear();
  }
  for (const auto& [worker, draining] : draining_) {
    if (draining) snapshot.draining.push_back(worker);
  }
  snapshot.queues.assign(queues_.begin(), queues_.end());
  for (const auto& [account, past] : past_) {
    snapshot.past.push_back({account.first, account.second, past});
  }
  return snapshot;
}

absl::Status FakeStore::Commit(absl::Span<const Record> records,
                               absl::Span<const AccountPast> past) {
  absl::MutexLock lock(&mutex_);
  if (failing_commits_ > 0) {
    --failing_commits_;
    return commit_error_;
  }
  for (const Record& record : records) {
    if (IsDurable(record)) Apply(record);
  }
  for (const AccountPast& account : past) {
    past_[{account.queue, account.user}] = account.past;
  }
  ++commits_;
  return absl::OkStatus();
}

bool FakeStore::ApplyToNoJob(const Record& record) {
  if (const auto* drain = std::get_if<WorkerDrainSet>(&record.change)) {
    draining_[drain->worker] = drain->draining;
  } else if (const auto* set = std::get_if<QueueSet>(&record.change)) {
    queues_[set->queue] = set->settings;
  } else if (const auto* gone = std::get_if<QueueDeleted>(&record.change)) {
    queues_.erase(gone->queue);
    std::erase_if(past_, [&](const auto& account) {
      return account.first.first == gone->queue;
    });
  } else {
    // What a reset changes comes as past usage.
    return std::holds_alternative<QueueHoursReset>(record.change);
  }
  return true;
}

void FakeStore::Apply(const Record& record) {
  revision_ = record.revision;
  if (ApplyToNoJob(record)) return;
  StoredJob& job = jobs_[record.job];
  if (const auto* submitted = std::get_if<JobSubmitted>(&record.change)) {
    job.id = record.job;
    job.request_id = submitted->request_id;
    job.name = submitted->name;
    job.spec = submitted->spec;
    job.scheduling = submitted->scheduling;
    job.labels = submitted->labels;
    job.submit_time = record.time;
    if (!job.request_id.empty()) requests_[job.request_id] = job.id;
  } else {
    std::visit([&](const auto& change) { On(job, record, change); },
               record.change);
  }
  changes_.erase(job.revision);
  job.revision = record.revision;
  changes_[job.revision] = job.id;
}

absl::StatusOr<std::optional<JobId>> FakeStore::FindRequest(
    const std::string& request_id) {
  absl::MutexLock lock(&mutex_);
  const auto it = requests_.find(request_id);
  if (it == requests_.end()) return std::nullopt;
  return it->second;
}

absl::StatusOr<std::optional<JobState>> FakeStore::FindState(JobId job) {
  absl::MutexLock lock(&mutex_);
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return std::nullopt;
  return it->second.state;
}

absl::StatusOr<StoredJob> FakeStore::GetJob(JobId job) {
  absl::MutexLock lock(&mutex_);
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return NotFound(job);
  return it->second;
}

absl::StatusOr<std::string> FakeStore::GetSpec(JobId job) {
  absl::MutexLock lock(&mutex_);
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return NotFound(job);
  return it->second.spec;
}

absl::StatusOr<std::vector<StoredJob>> FakeStore::ListJobs(
    const JobQuery& query, JobId before, size_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<StoredJob> found;
  for (auto it = jobs_.rbegin(); it != jobs_.rend() && found.size() < limit;
       ++it) {
    if (before != JobId() && it->first >= before) continue;
    if (Matches(it->second, query)) found.push_back(it->second);
  }
  return found;
}

absl::StatusOr<std::vector<StoredJob>> FakeStore::ChangedJobs(
    const JobQuery& query, Revision revision, size_t limit) {
  absl::MutexLock lock(&mutex_);
  std::vector<StoredJob> found;
  for (auto it = changes_.upper_bound(revision);
       it != changes_.end() && found.size() < limit; ++it) {
    const StoredJob& job = jobs_.at(it->second);
    if (Matches(job, query)) found.push_back(job);
  }
  return found;
}

}  // namespace trainyard::engine
