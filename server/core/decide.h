// The decision: what follows from a command. Pure: no clock, no store, and the
// cluster is only read.
//
//   Decision decision = Decide(cluster, policy, now, command);
//   for (const Record& record : decision.records) cluster.Apply(record);
//
// Jobs are placed afterwards, by a PlacementPass in the same commit.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/command.h"
#include "server/core/preemption.h"
#include "server/core/record.h"
#include "server/core/types.h"

namespace trainyard::core {

struct Policy {
  // Jobs that are not final; more are refused with RESOURCE_EXHAUSTED.
  size_t max_live_jobs = 2'000'000;
  // Queues; more are refused with RESOURCE_EXHAUSTED.
  size_t max_queues = 1000;
  // Workers known at a time; more are refused with RESOURCE_EXHAUSTED.
  size_t max_workers = 20'000;
  // A worker not heard for longer is lost.
  absl::Duration worker_lease = absl::Seconds(30);
  // Longest pause before a retry, before jitter.
  absl::Duration max_backoff = absl::Minutes(10);
  // A job whose attempts were lost so often in a row, without a new checkpoint
  // between, fails.
  uint32_t max_losses = 10;
  OrderPolicy order;
  PreemptionPolicy preemption;
};

// What the store knows of jobs that are no longer live, as far as the command
// asks for it.
struct History {
  absl::flat_hash_map<std::string, JobId> requests;
  absl::flat_hash_map<JobId, JobState> states;
};

struct Decision {
  std::vector<Record> records;
  Reply reply;
};

// Whether the queue takes jobs. NOT_FOUND; FAILED_PRECONDITION while it drains
// or is closed.
absl::Status CheckTakesJobs(const Cluster& cluster, const QueueName& name);

// Replies: command.h says which. ReportWorker: OK; INVALID_ARGUMENT;
// FAILED_PRECONDITION when a newer process with its name has replaced it;
// RESOURCE_EXHAUSTED.
Decision Decide(const Cluster& cluster, const Policy& policy, absl::Time now,
                const Command& command, const History& history = {});

}  // namespace trainyard::core
