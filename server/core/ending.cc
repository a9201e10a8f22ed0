#include "server/core/ending.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/core/retry.h"

namespace trainyard::core {
namespace {

// Workers may be wrong: what a job did without being told to is a failure, so
// that it uses up retries instead of going round for ever.
void Normalise(const Job& job, Ending& ending) {
  if (ending.outcome == Outcome::kCancelled && job.attempt->grace_ended &&
      !job.cancel_requested) {
    ending.outcome = Outcome::kPreempted;
  }
  if (ending.outcome == Outcome::kNone ||
      (ending.outcome == Outcome::kCancelled && !job.cancel_requested &&
       !job.attempt->overdue)) {
    Failure& failure = ending.failure.emplace();
    failure.category = FailureCategory::kInfrastructure;
    failure.message = ending.outcome == Outcome::kNone
                          ? "the worker told no outcome"
                          : "the worker stopped it without being asked to";
    ending.outcome = Outcome::kFailed;
  }
  if (ending.outcome == Outcome::kFailed && !ending.failure.has_value()) {
    ending.failure.emplace().message = "the worker told no cause";
  }
  if (job.attempt->overdue && !job.cancel_requested &&
      ending.outcome != Outcome::kSucceeded) {
    Failure failure = std::move(ending.failure).value_or(Failure());
    failure.category = FailureCategory::kTimeLimit;
    failure.message = absl::StrCat("ran for longer than limits.run_time of ",
                                   absl::FormatDuration(job.run_time_limit));
    ending.failure = std::move(failure);
    ending.outcome = Outcome::kFailed;
  }
  if (ending.outcome != Outcome::kFailed) ending.failure.reset();
}

// Losses of the job in a row, with this one.
uint32_t CountLoss(const Job& job, const Ending& ending) {
  return ending.progressed ? 1 : job.losses + 1;
}

// A job that takes its worker with it each time must not go round for ever.
void LimitLosses(const Job& job, const Policy& policy, Ending& ending) {
  if (ending.outcome != Outcome::kLost || job.cancel_requested) return;
  if (ending.cause.empty()) ending.cause = "its worker gave it up";
  const uint32_t losses = CountLoss(job, ending);
  if (losses < policy.max_losses) return;
  Failure& failure = ending.failure.emplace();
  failure.category = FailureCategory::kInfrastructure;
  failure.message = absl::StrCat(
      ending.cause, "; the job was lost ", losses,
      " times in a row without a new checkpoint, so it is not tried again: "
      "see whether it brings its workers down");
}

std::string Describe(const Job& job, const Ending& ending) {
  const std::string what = absl::StrCat("attempt ", job.last_attempt);
  switch (ending.outcome) {
    case Outcome::kFailed:
      return absl::StrCat(what, " failed: ", ending.failure->message);
    case Outcome::kLost:
      return absl::StrCat(
          what, " was lost: ",
          ending.failure.has_value() ? ending.failure->message : ending.cause);
    default:
      break;
  }
  const std::string preempted = absl::StrCat(what, " was preempted on workers/",
                                             job.attempt->worker.value());
  const std::optional<Preemption>& preemption = job.attempt->preemption;
  if (!preemption.has_value()) {
    return absl::StrCat(preempted, ending.cause.empty() ? "" : ": ",
                        ending.cause);
  }
  return absl::StrCat(preempted, " by jobs/", preemption->by.value(), " (",
                      preemption->reason, ")");
}

// After what is no success, and was not asked for by the job's owner.
void FailOrRequeue(const Job& job, const Ending& ending, const Policy& policy,
                   Draft& draft) {
  std::string what = Describe(job, ending);
  JobRequeued again{.not_before = draft.now(),
                    .failures = job.failures,
                    .reason = "",
                    .losses = ending.progressed ? 0 : job.losses};
  absl::Duration pause;
  if (ending.outcome == Outcome::kFailed) {
    if (!IsRetryable(ending.failure->category) ||
        job.failures >= job.max_retries) {
      draft.Add(job.id, JobEnded{JobState::kFailed, std::move(what), {}});
      return;
    }
    pause = RetryPause(job, job.failures, policy.max_backoff);
    ++again.failures;
    absl::StrAppend(&what, "; retry ", again.failures, " of ", job.max_retries,
                    " after ", absl::FormatDuration(pause));
  } else if (ending.outcome == Outcome::kLost) {
    if (ending.failure.has_value()) {
      draft.Add(job.id, JobEnded{JobState::kFailed, std::move(what), {}});
      return;
    }
    again.losses = CountLoss(job, ending);
    pause = LossPause(job, again.losses, policy.max_backoff);
    if (pause > absl::ZeroDuration()) {
      absl::StrAppend(&what, "; again after ", absl::FormatDuration(pause));
    }
  }
  again.not_before += pause;
  again.reason = std::move(what);
  draft.Add(job.id, std::move(again));
}

}  // namespace

void EndAttempt(const Job& job, Ending ending, const Policy& policy,
                Draft& draft) {
  Normalise(job, ending);
  LimitLosses(job, policy, ending);
  if (ending.outcome == Outcome::kSucceeded &&
      job.state == JobState::kStarting) {
    draft.Add(job.id, AttemptStarted{job.last_attempt});
  }
  draft.Add(job.id,
            AttemptEnded{job.last_attempt, ending.outcome, ending.failure});
  if (job.cancel_requested) {
    draft.Add(job.id, JobEnded{.state = JobState::kCancelled,
                               .reason = job.trail->cancel_reason,
                               .outputs = std::move(ending.outputs)});
  } else if (ending.outcome == Outcome::kSucceeded) {
    draft.Add(job.id,
              JobEnded{JobState::kSucceeded, "", std::move(ending.outputs)});
  } else {
    FailOrRequeue(job, ending, policy, draft);
  }
}

}  // namespace trainyard::core
