#include "server/core/ending.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::core {
namespace {

bool IsRetryable(FailureCategory category) {
  return category != FailureCategory::kUserError &&
         category != FailureCategory::kTimeLimit;
}

// The pause after one more failure on top of `failures`.
absl::Duration Backoff(const Job& job, const Policy& policy) {
  const absl::Duration first = std::max(job.backoff, absl::ZeroDuration());
  if (job.failures >= 30)
    return std::min(first * (1 << 30), policy.max_backoff);
  return std::min(first * (1 << job.failures), policy.max_backoff);
}

// Workers may be wrong: what a job did without being told to is a failure, so
// that it uses up retries instead of going round for ever.
void Normalise(const Job& job, Ending& ending) {
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

void EndFailed(const Job& job, const Failure& failure, const Policy& policy,
               Draft& draft) {
  const std::string what =
      absl::StrCat("attempt ", job.last_attempt, " failed: ", failure.message);
  if (!IsRetryable(failure.category) || job.failures >= job.max_retries) {
    draft.Add(job.id, JobEnded{JobState::kFailed, what, {}});
    return;
  }
  const absl::Duration pause = Backoff(job, policy);
  draft.Add(job.id, JobRequeued{.not_before = draft.now() + pause,
                                .failures = job.failures + 1,
                                .reason = absl::StrCat(
                                    what, "; retry ", job.failures + 1, " of ",
                                    job.max_retries, " after ",
                                    absl::FormatDuration(pause))});
}

}  // namespace

void EndAttempt(const Job& job, Ending ending, const Policy& policy,
                Draft& draft) {
  Normalise(job, ending);
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
    return;
  }
  switch (ending.outcome) {
    case Outcome::kSucceeded:
      draft.Add(job.id,
                JobEnded{JobState::kSucceeded, "", std::move(ending.outputs)});
      return;
    case Outcome::kFailed:
      EndFailed(job, *ending.failure, policy, draft);
      return;
    default:
      break;
  }
  const std::string what =
      ending.outcome == Outcome::kLost
          ? absl::StrCat(
                "attempt ", job.last_attempt, " was lost: ",
                ending.cause.empty() ? "its worker gave it up" : ending.cause)
          : absl::StrCat("attempt ", job.last_attempt, " was preempted on ",
                         "workers/", job.attempt->worker.value(),
                         ending.cause.empty() ? "" : ": ", ending.cause);
  draft.Add(job.id, JobRequeued{.not_before = draft.now(),
                                .failures = job.failures,
                                .reason = what});
}

}  // namespace trainyard::core
