// Commands: what someone wants. Decide turns one into records and a reply.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::core {

struct Submission {
  std::string request_id = {};  // may be empty: always a new job
  std::string name = {};
  std::string spec = {};  // serialised JobSpec
  SchedulingSpec scheduling;
  Labels labels = {};
};

// Accept jobs, all in one commit. Reply: one SubmitResult each, in order.
struct SubmitJobs {
  std::vector<Submission> submissions;
};

// Reply: OK; NOT_FOUND; FAILED_PRECONDITION if it already succeeded or failed.
struct CancelJob {
  JobId job;
  std::string reason;
};

// Reply: OK; NOT_FOUND.
struct DrainWorker {
  WorkerName worker;
  bool draining = true;
};

// Make a queue, or change one. Reply: OK; INVALID_ARGUMENT;
// RESOURCE_EXHAUSTED when there are as many as the policy allows.
struct SetQueue {
  QueueName queue;
  QueueSettings settings;
};

// Reply: OK; NOT_FOUND; FAILED_PRECONDITION while it has live jobs, and for the
// default queue.
struct DeleteQueue {
  QueueName queue;
};

// Count a queue's device-hours anew. Reply: OK; NOT_FOUND.
struct ResetQueueHours {
  QueueName queue;
};

// A worker said what it is.
struct ReportWorker {
  WorkerReport report;
};

// A worker's stream broke.
struct DisconnectWorker {
  WorkerName worker;
  std::string instance;
};

// Time passed: leases, limits, backoffs.
struct Tick {
  // The server listened without a pause since then (set by the engine); a
  // silence before it was the server's own and expires no lease.
  absl::Time listening_since = absl::InfinitePast();
};

using Command =
    std::variant<SubmitJobs, CancelJob, DrainWorker, SetQueue, DeleteQueue,
                 ResetQueueHours, ReportWorker, DisconnectWorker, Tick>;

struct SubmitResult {
  // RESOURCE_EXHAUSTED when too many jobs are live; NOT_FOUND for an unknown
  // queue; FAILED_PRECONDITION for one that takes no more jobs.
  absl::Status status;
  JobId job;  // the earlier one where the request_id is known
  // Of the JobSubmitted record, for new jobs; 0 where the request_id was known:
  // the caller reads that job from the store.
  Revision revision = 0;
  absl::Time time;
};

// What the caller of a command is told, once its records are durable.
struct Reply {
  absl::Status status;
  std::vector<SubmitResult> submits;  // for SubmitJobs
};

}  // namespace trainyard::core
