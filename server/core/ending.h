// What follows from the end of an attempt: the job is over, or tried again.
//
//   outcome                      job
//   any, cancel requested        CANCELLED
//   SUCCEEDED                    SUCCEEDED
//   any other, overdue           FAILED, time limit
//   FAILED, cannot be retried    FAILED       user error, time limit
//   FAILED, no retry left        FAILED
//   FAILED                       QUEUED       after a backoff, one retry less
//   LOST, PREEMPTED              QUEUED       at once, no retry used
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/core/decide.h"
#include "server/core/draft.h"
#include "server/core/job.h"
#include "server/core/types.h"

namespace trainyard::core {

struct Ending {
  Outcome outcome = Outcome::kNone;
  std::optional<Failure> failure = {};  // with kFailed
  std::vector<Output> outputs = {};     // with kSucceeded
  // With kLost and kPreempted: what happened to the worker.
  std::string cause = {};
};

// Adds the records for the end of the job's live attempt.
void EndAttempt(const Job& job, Ending ending, const Policy& policy,
                Draft& draft);

}  // namespace trainyard::core
