#include "server/engine/decision_loop.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/core/placement.h"
#include "server/core/preemption.h"
#include "server/engine/load.h"

namespace trainyard::engine {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(100);
constexpr absl::Duration kLongestWait = absl::Seconds(5);
// It is dear to look for room where there is none, and time alone may make
// some: an attempt has run for long enough to be preempted.
constexpr absl::Duration kMakeRoomEvery = absl::Milliseconds(100);

bool AnyDurable(const std::vector<core::Record>& records) {
  return std::any_of(records.begin(), records.end(), core::IsDurable);
}

// What callers hear of a store that failed.
absl::Status ForCallers(const absl::Status& error) {
  const std::string message =
      absl::StrCat("the server could not store it: ", error.message());
  return absl::IsResourceExhausted(error)
             ? absl::ResourceExhaustedError(message)
             : absl::UnavailableError(message);
}

}  // namespace

DecisionLoop::DecisionLoop(core::Policy policy, Store* store, Metrics* metrics)
    : policy_(policy),
      store_(store),
      metrics_(metrics),
      cluster_(policy_.order) {}

absl::Status DecisionLoop::Load(absl::Time now) {
  loaded_ = false;
  NoteTime(now);
  absl::StatusOr<core::Cluster> cluster =
      LoadCluster(*store_, policy_.order, now_);
  if (!cluster.ok()) {
    return WithContext(cluster.status(), "loading the cluster");
  }
  RETURN_IF_ERROR(CarryWorkersOver(cluster_, *cluster));
  cluster_ = *std::move(cluster);
  // Nothing was heard while it loaded.
  listening_since_ = now_;
  placed_openings_ = cluster_.openings() - 1;
  loaded_ = true;
  return absl::OkStatus();
}

Round DecisionLoop::RunOnce(absl::Span<const core::Command> commands,
                            absl::Time now) {
  NoteTime(now);
  recent_ = {};
  Draft draft;
  if (!loaded_) {
    const absl::Status status = MustWait() ? commit_error_ : Load(now_);
    if (!status.ok()) return Fail(status, commands.size());
    draft.round.workers = AllWorkers();
  }
  draft.round.replies.reserve(commands.size());
  for (const core::Command& command : commands) {
    const absl::Status status = DecideOne(command, draft);
    if (!status.ok()) return Fail(status, commands.size());
  }
  absl::Status status = Place(draft);
  if (status.ok()) status = Commit(draft, commands.size());
  if (!status.ok()) return Fail(status, commands.size());
  Tell(draft);
  return std::move(draft.round);
}

void DecisionLoop::NoteTime(absl::Time now) {
  now = std::max(now, now_);  // clocks may be set back
  if (now - now_ > policy_.worker_lease / 4) listening_since_ = now;
  now_ = now;
}

absl::StatusOr<core::History> DecisionLoop::Recall(
    const core::Command& command) {
  core::History history;
  if (const auto* submit = std::get_if<core::SubmitJobs>(&command)) {
    for (const core::Submission& submission : submit->submissions) {
      const std::string& request = submission.request_id;
      if (request.empty() || cluster_.FindRequest(request) != core::JobId()) {
        continue;
      }
      if (const auto it = recent_.requests.find(request);
          it != recent_.requests.end()) {
        history.requests.insert(*it);
        continue;
      }
      ASSIGN_OR_RETURN(const std::optional<core::JobId> job,
                       store_->FindRequest(request));
      if (job.has_value()) history.requests[request] = *job;
    }
  } else if (const auto* cancel = std::get_if<core::CancelJob>(&command)) {
    if (cluster_.FindJob(cancel->job) != nullptr) return history;
    if (const auto it = recent_.states.find(cancel->job);
        it != recent_.states.end()) {
      history.states.insert(*it);
      return history;
    }
    ASSIGN_OR_RETURN(const std::optional<core::JobState> state,
                     store_->FindState(cancel->job));
    if (state.has_value()) history.states[cancel->job] = *state;
  }
  return history;
}

absl::Status DecisionLoop::DecideOne(const core::Command& command,
                                     Draft& draft) {
  core::Reply reply;
  absl::StatusOr<core::History> history = Recall(command);
  if (!history.ok()) {
    draft.round.replies.push_back({ForCallers(history.status()), {}});
    return absl::OkStatus();
  }
  core::Decision decision;
  if (const auto* tick = std::get_if<core::Tick>(&command)) {
    const core::Tick told{std::max(tick->listening_since, listening_since_)};
    decision = core::Decide(cluster_, policy_, now_, told, *history);
  } else {
    decision = core::Decide(cluster_, policy_, now_, command, *history);
  }
  if (MustWait() && AnyDurable(decision.records)) {
    draft.round.replies.push_back({ForCallers(commit_error_), {}});
    return absl::OkStatus();
  }
  draft.round.replies.push_back(std::move(decision.reply));
  return ApplyAll(std::move(decision.records), draft);
}

absl::Status DecisionLoop::ApplyAll(std::vector<core::Record> records,
                                    Draft& draft) {
  for (core::Record& record : records) {
    Note(record, draft);
    RETURN_IF_ERROR(cluster_.Apply(record));
    draft.records.push_back(std::move(record));
  }
  return absl::OkStatus();
}

void DecisionLoop::Note(const core::Record& record, Draft& draft) {
  using namespace core;  // NOLINT: the variants below are all its
  const Job* job = cluster_.FindJob(record.job);
  const LiveAttempt* attempt = job == nullptr ? nullptr : job->attempt.get();
  if (job != nullptr || std::holds_alternative<JobSubmitted>(record.change)) {
    draft.round.jobs_changed |= IsDurable(record);
  }
  if (std::holds_alternative<JobSubmitted>(record.change)) {
    ++draft.submits;
  } else if (const auto* placed = std::get_if<AttemptPlaced>(&record.change)) {
    draft.round.workers.insert(placed->worker);
    if (job != nullptr) {
      draft.queue_waits.push_back(record.time - job->queued_since);
    }
  } else if (const auto* ended = std::get_if<AttemptEnded>(&record.change)) {
    draft.outcomes.push_back(ended->outcome);
    if (job != nullptr) {
      const core::UserAccount& user = *job->lane->user;
      draft.used.insert({user.queue->name, std::nullopt});
      draft.used.insert({user.queue->name, user.name});
    }
    draft.run_time = attempt != nullptr && attempt->start_time.has_value()
                         ? record.time - *attempt->start_time
                         : absl::ZeroDuration();
  } else if (const auto* end = std::get_if<JobEnded>(&record.change)) {
    const bool ran = job != nullptr && job->state != JobState::kQueued;
    draft.ends.emplace_back(end->state,
                            ran ? draft.run_time : absl::ZeroDuration());
    recent_.states[record.job] = end->state;
    if (job != nullptr && !job->request_id.empty()) {
      recent_.requests[job->request_id] = record.job;
    }
  } else if (const auto* reset = std::get_if<QueueHoursReset>(&record.change)) {
    draft.used.insert({reset->queue, std::nullopt});
  } else if (const auto* drain = std::get_if<WorkerDrainSet>(&record.change)) {
    draft.round.workers.insert(drain->worker);
  } else if (const auto* told = std::get_if<WorkerReported>(&record.change)) {
    const Worker* worker = cluster_.FindWorker(told->report.worker);
    if (worker == nullptr || worker->instance != told->report.instance ||
        worker->leaving != told->report.leaving) {
      draft.round.workers.insert(told->report.worker);
    }
  } else if (const auto* lost = std::get_if<WorkerLost>(&record.change)) {
    const Worker* worker = cluster_.FindWorker(lost->worker);
    if (worker != nullptr && !worker->leaving) ++draft.workers_lost;
  }
  const bool about_attempt =
      std::holds_alternative<AttemptEnded>(record.change) ||
      std::holds_alternative<AttemptOverdue>(record.change) ||
      std::holds_alternative<AttemptPreempted>(record.change) ||
      std::holds_alternative<GraceEnded>(record.change) ||
      std::holds_alternative<CancelRequested>(record.change);
  if (about_attempt && attempt != nullptr) {
    draft.round.workers.insert(attempt->worker);
  }
}

absl::Status DecisionLoop::Place(Draft& draft) {
  if (MustWait()) return absl::OkStatus();
  cluster_.AdvanceTo(now_);
  if (cluster_.openings() == placed_openings_) return MakeRoom(draft);
  core::PlacementPass pass(&cluster_, now_);
  while (std::optional<core::Record> record = pass.Next()) {
    Note(*record, draft);
    RETURN_IF_ERROR(cluster_.Apply(*record));
    draft.records.push_back(*std::move(record));
  }
  placed_openings_ = cluster_.openings();
  return MakeRoom(draft);
}

absl::Status DecisionLoop::MakeRoom(Draft& draft) {
  if (now_ < make_room_at_) return absl::OkStatus();
  make_room_at_ = now_ + kMakeRoomEvery;
  while (true) {
    std::vector<core::Record> records =
        core::Preempt(cluster_, policy_.preemption, now_);
    if (records.empty()) return absl::OkStatus();
    RETURN_IF_ERROR(ApplyAll(std::move(records), draft));
  }
}

absl::Status DecisionLoop::Commit(const Draft& draft, size_t commands) {
  if (!AnyDurable(draft.records)) return absl::OkStatus();
  const auto begin = std::chrono::steady_clock::now();
  std::vector<core::AccountPast> past;
  for (const auto& [queue, user] : draft.used) {
    past.push_back({queue, user, cluster_.queues().PastOf(queue, user)});
  }
  RETURN_IF_ERROR(store_->Commit(draft.records, past));
  metrics_->OnCommit(
      commands, draft.records.size(),
      absl::FromChrono(std::chrono::steady_clock::now() - begin));
  commit_failures_ = 0;
  return absl::OkStatus();
}

Round DecisionLoop::Fail(const absl::Status& error, size_t commands) {
  if (loaded_ || !MustWait()) {  // else nothing was tried
    spdlog::error("a round of {} commands failed: {}", commands,
                  std::string(error.message()));
    metrics_->OnCommitFailure();
    commit_error_ = error;
    retry_at_ =
        now_ + std::min(kFirstWait * (1 << std::min(commit_failures_, 10)),
                        kLongestWait);
    ++commit_failures_;
  }
  if (loaded_) {  // else there is nothing to undo
    if (const absl::Status status = Load(now_); !status.ok()) {
      spdlog::error("{}", std::string(status.message()));
      ForgetJobs();
    }
  }
  Round round;
  round.replies.assign(commands, core::Reply{ForCallers(error), {}});
  // What a worker should be may differ from what it was last told.
  if (loaded_) round.workers = AllWorkers();
  return round;
}

absl::btree_set<core::WorkerName> DecisionLoop::AllWorkers() const {
  absl::btree_set<core::WorkerName> names;
  for (const auto& [name, worker] : cluster_.workers()) names.insert(name);
  return names;
}

void DecisionLoop::ForgetJobs() {
  core::Cluster cluster(policy_.order, cluster_.revision(),
                        cluster_.last_job());
  const absl::Status status = CarryWorkersOver(cluster_, cluster);
  if (!status.ok()) spdlog::error("{}", std::string(status.message()));
  cluster_ = std::move(cluster);
}

void DecisionLoop::Tell(const Draft& draft) {
  for (size_t i = 0; i < draft.submits; ++i) metrics_->OnJobSubmitted();
  for (const absl::Duration wait : draft.queue_waits) {
    metrics_->OnJobPlaced(wait);
  }
  for (const core::Outcome outcome : draft.outcomes) {
    metrics_->OnAttemptEnded(outcome);
  }
  for (size_t i = 0; i < draft.workers_lost; ++i) metrics_->OnWorkerLost();
  for (const auto& [state, run_time] : draft.ends) {
    metrics_->OnJobEnded(state, run_time);
  }
}

}  // namespace trainyard::engine
