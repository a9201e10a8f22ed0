// Records: what happened. The cluster changes only by applying them; durable
// ones are committed to the store before anyone hears of them.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::core {

// ---- durable

// A job was accepted; it is QUEUED.
struct JobSubmitted {
  std::string request_id;  // may be empty
  std::string name;        // spec.name, for filters
  std::string spec;        // serialised JobSpec; the cluster does not keep it
  SchedulingSpec scheduling;
  Labels labels;
};

// An attempt was given devices of a worker; the job is STARTING.
struct AttemptPlaced {
  uint32_t attempt = 0;
  WorkerName worker;
  std::string instance;
  DeviceKind kind = DeviceKind::kCpu;
  std::vector<std::string> devices;  // all of that kind
};

// Its runner works; the job is RUNNING.
struct AttemptStarted {
  uint32_t attempt = 0;
};

// It is to make room for another job; its worker is being told.
struct AttemptPreempted {
  uint32_t attempt = 0;
  Preemption preemption;
};

// A checkpoint is in the artifact store.
struct CheckpointStored {
  uint32_t attempt = 0;
  Checkpoint checkpoint;
};

// The attempt is over and its devices are free. A JobRequeued or JobEnded for
// the same job follows in the same decision.
struct AttemptEnded {
  uint32_t attempt = 0;
  Outcome outcome = Outcome::kNone;
  std::optional<Failure> failure;
};

// The job is QUEUED again, not to be placed before not_before.
struct JobRequeued {
  absl::Time not_before;
  uint32_t failures = 0;  // attempts that used up a retry, so far
  std::string reason = {};
  uint32_t losses = 0;  // in a row without a new checkpoint, so far
};

// Someone asked for the job's end; its worker is being told.
struct CancelRequested {
  std::string reason;
};

// The job's state is final: SUCCEEDED, FAILED or CANCELLED.
struct JobEnded {
  JobState state = JobState::kFailed;
  std::string reason;
  std::vector<Output> outputs;
};

// A worker was taken out of service or back in.
struct WorkerDrainSet {
  WorkerName worker;
  bool draining = false;
};

// A queue was made or changed.
struct QueueSet {
  QueueName queue;
  QueueSettings settings;
};

// A queue, which had no live job, is no more.
struct QueueDeleted {
  QueueName queue;
};

// The device-hours of a queue are counted from this record's time on.
struct QueueHoursReset {
  QueueName queue;
};

// ---- not durable: workers say it again when they reconnect

// A worker reported; the time of the record is when it was heard.
struct WorkerReported {
  WorkerReport report;  // attempts are left out: they became records
};

// The worker's stream broke.
struct WorkerDisconnected {
  WorkerName worker;
  std::string instance;
};

// The worker was not heard for longer than its lease.
struct WorkerLost {
  WorkerName worker;
};

// The attempt ran for longer than its job's limit; its worker is being told to
// end it. Follows from the start time, so a restart decides it again.
struct AttemptOverdue {
  uint32_t attempt = 0;
};

// The preempted attempt did not stop in time; its worker is being told to end
// it. Follows from the preemption, so a restart decides it again.
struct GraceEnded {
  uint32_t attempt = 0;
};

using Change =
    std::variant<JobSubmitted, AttemptPlaced, AttemptStarted, AttemptPreempted,
                 CheckpointStored, AttemptEnded, JobRequeued, CancelRequested,
                 JobEnded, WorkerDrainSet, QueueSet, QueueDeleted,
                 QueueHoursReset, WorkerReported, WorkerDisconnected,
                 WorkerLost, AttemptOverdue, GraceEnded>;

struct Record {
  // Of a durable record: its own, one more than the one before. Of any other:
  // that of the durable record before it, so that a restart repeats no number.
  Revision revision = 0;
  absl::Time time;
  JobId job;  // none for records about workers
  Change change;
};

inline bool IsDurable(const Record& record) {
  return !std::holds_alternative<WorkerReported>(record.change) &&
         !std::holds_alternative<WorkerDisconnected>(record.change) &&
         !std::holds_alternative<WorkerLost>(record.change) &&
         !std::holds_alternative<AttemptOverdue>(record.change) &&
         !std::holds_alternative<GraceEnded>(record.change);
}

}  // namespace trainyard::core
