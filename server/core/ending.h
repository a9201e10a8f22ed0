// What follows from the end of an attempt: the job is over, or tried again.
//
//   outcome                      job
//   any, cancel requested        CANCELLED
//   SUCCEEDED                    SUCCEEDED
//   any other, overdue           FAILED, time limit
//   FAILED, cannot be retried    FAILED
//   FAILED, no retry left        FAILED
//   FAILED                       QUEUED       one retry less
//   LOST, too often in a row     FAILED, infrastructure
//   LOST, PREEMPTED              QUEUED       no retry used
//
// retry.h says what can be retried, and after what pause.
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
  bool progressed = false;  // a new checkpoint came with it
};

// Adds the records for the end of the job's live attempt.
void EndAttempt(const Job& job, Ending ending, const Policy& policy,
                Draft& draft);

}  // namespace trainyard::core
