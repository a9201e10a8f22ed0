// A live job as the cluster keeps it: a small scheduling record without spec,
// since a million of them are held in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/core/queue_order.h"
#include "server/core/types.h"

namespace trainyard::core {

struct Lane;

// The attempt that holds devices now.
struct LiveAttempt {
  uint32_t number = 0;
  WorkerName worker;
  std::string instance;
  DeviceKind kind = DeviceKind::kCpu;  // of all its devices
  std::vector<std::string> devices;
  absl::Time place_time;
  std::optional<absl::Time> start_time;
  Revision placed_revision = 0;
  bool overdue = false;  // ran for longer than the limit
  std::optional<Preemption> preemption = {};
  bool grace_ended = false;  // was preempted and did not stop in time

  // Whether its worker is being told to stop it, by itself or with others.
  bool IsStopping() const { return overdue || preemption.has_value(); }
};

// What most jobs never have.
struct Trail {
  std::optional<Checkpoint> checkpoint;  // newest stored
  WorkerName avoid;  // where the last attempt failed or was lost
  std::string cancel_reason;
};

struct Job {
  JobId id;
  JobState state = JobState::kQueued;
  bool cancel_requested = false;
  int32_t priority = 0;
  uint32_t max_retries = 0;
  uint32_t failures = 0;      // attempts that used up a retry
  uint32_t losses = 0;        // in a row without a new checkpoint
  uint32_t last_attempt = 0;  // number of the newest attempt; 0: none yet
  Lane* lane = nullptr;       // of its queue, user and needs; never null
  absl::Duration backoff;
  absl::Duration run_time_limit;
  absl::Duration queue_time_limit;
  absl::Time submit_time;
  absl::Time not_before = absl::InfinitePast();
  absl::Time queued_since;
  std::string request_id;
  std::unique_ptr<LiveAttempt> attempt;  // with STARTING and RUNNING
  std::unique_ptr<Trail> trail;

  QueueKey queue_key(absl::Duration ageing) const {
    return MakeQueueKey(priority, submit_time, id, ageing);
  }
  AttemptKey attempt_key() const { return {id, last_attempt}; }
  std::optional<Checkpoint> checkpoint() const {
    return trail == nullptr ? std::nullopt : trail->checkpoint;
  }
  WorkerName avoid() const {
    return trail == nullptr ? WorkerName() : trail->avoid;
  }
  // When a limit of queue time, run time or grace strikes next;
  // InfiniteFuture: never.
  absl::Time deadline() const;
};

// What a restart knows of a live job.
struct RestoredJob {
  JobId id;
  JobState state = JobState::kQueued;
  std::string request_id;
  SchedulingSpec scheduling;
  absl::Time submit_time;
  absl::Time not_before = absl::InfinitePast();
  uint32_t failures = 0;
  uint32_t losses = 0;
  uint32_t last_attempt = 0;
  bool cancel_requested = false;
  std::string cancel_reason;
  std::optional<Checkpoint> checkpoint;
  WorkerName avoid;
  std::optional<LiveAttempt> attempt;  // with STARTING and RUNNING
};

}  // namespace trainyard::core
