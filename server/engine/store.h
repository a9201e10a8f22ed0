// The port to durable state. server/adapters/sqlite_store implements it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/core/queues.h"
#include "server/core/record.h"
#include "server/core/types.h"

namespace trainyard::engine {

// An attempt as stored.
struct StoredAttempt {
  uint32_t number = 0;
  core::WorkerName worker;
  std::string instance;
  core::DeviceKind kind = core::DeviceKind::kCpu;
  std::vector<std::string> devices;
  core::Outcome outcome = core::Outcome::kNone;
  absl::Time place_time;
  std::optional<absl::Time> start_time;
  std::optional<absl::Time> end_time;
  std::optional<core::Failure> failure;
  std::optional<core::Preemption> preemption;
};

// A job as stored, without its spec where the query did not ask for it.
struct StoredJob {
  core::JobId id;
  core::Revision revision = 0;
  core::JobState state = core::JobState::kQueued;
  std::string request_id;
  std::string name;
  std::string spec;
  core::SchedulingSpec scheduling;
  core::Labels labels;
  absl::Time submit_time;
  std::optional<absl::Time>
      start_time;  // first placement of the newest attempt
  std::optional<absl::Time> end_time;
  absl::Time not_before = absl::InfinitePast();
  uint32_t failures = 0;
  uint32_t losses = 0;
  bool cancel_requested = false;
  std::string reason;
  std::optional<core::Checkpoint> checkpoint;
  std::vector<core::Output> outputs;
  std::vector<StoredAttempt>
      attempts;  // oldest first: the first and the last 100
};

// What the engine starts from.
struct Snapshot {
  core::Revision revision = 0;  // newest committed
  core::JobId last_job;         // newest ever accepted
  std::vector<StoredJob>
      jobs;  // those not final, without specs, with attempts; by id
  std::vector<core::WorkerName> draining;
  std::vector<std::pair<core::QueueName, core::QueueSettings>> queues;
  std::vector<core::AccountPast> past;
};

// Written by the engine's thread alone.
class Store {
 public:
  virtual ~Store() = default;
  virtual absl::StatusOr<Snapshot> Load() = 0;
  // All of the records and what the accounts have used now, or nothing; on disk
  // when it returns OK. Records that are not durable are skipped.
  // RESOURCE_EXHAUSTED: disk full. After an error the store is as before.
  virtual absl::Status Commit(absl::Span<const core::Record> records,
                              absl::Span<const core::AccountPast> past) = 0;
  absl::Status Commit(absl::Span<const core::Record> records) {
    return Commit(records, {});
  }
  // The job that a request_id made, whatever its state; none: nullopt.
  virtual absl::StatusOr<std::optional<core::JobId>> FindRequest(
      const std::string& request_id) = 0;
  // The job's state, final or not; unknown job: nullopt.
  virtual absl::StatusOr<std::optional<core::JobState>> FindState(
      core::JobId job) = 0;
};

struct JobQuery {
  std::vector<core::JobState> states;  // empty: any
  core::Labels labels;
  std::string name;               // empty: any
  std::vector<core::JobId> jobs;  // empty: any
};

// The read side: sees what was committed. Thread-safe.
class JobReader {
 public:
  virtual ~JobReader() = default;
  // With spec. NOT_FOUND.
  virtual absl::StatusOr<StoredJob> GetJob(core::JobId job) = 0;
  // The spec alone. NOT_FOUND.
  virtual absl::StatusOr<std::string> GetSpec(core::JobId job) = 0;
  // Newest first, ids below `before` (none: from the newest), with specs.
  virtual absl::StatusOr<std::vector<StoredJob>> ListJobs(const JobQuery& query,
                                                          core::JobId before,
                                                          size_t limit) = 0;
  // Jobs whose newest change is after `revision`, in the order of revisions,
  // with specs.
  virtual absl::StatusOr<std::vector<StoredJob>> ChangedJobs(
      const JobQuery& query, core::Revision revision, size_t limit) = 0;
};

}  // namespace trainyard::engine
