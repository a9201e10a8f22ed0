// The legal moves of a job, in one table.
//
//            submit            placed            started          done
//   (none) ─────────► QUEUED ─────────► STARTING ─────────► RUNNING ─────►
//   SUCCEEDED
//                      ▲                   │                   │
//                      └── requeued ───────┴───────────────────┘
//   QUEUED, STARTING, RUNNING ──► FAILED, CANCELLED
#pragma once

#include "absl/status/status.h"
#include "server/core/types.h"

namespace trainyard::core {

bool IsLegalMove(JobState from, JobState to);

// OK, or INTERNAL naming the job and both states: a bug, never a user's error.
absl::Status CheckMove(JobId job, JobState from, JobState to);

bool IsFinal(JobState state);

// "QUEUED"; "UNKNOWN" for a value outside the enum.
const char* JobStateName(JobState state);

}  // namespace trainyard::core
