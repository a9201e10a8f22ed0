// Writes records as rows: changes of one job within a commit become one row
// write.
//
//   RecordWriter writer(db);
//   Transaction transaction(db);
//   RETURN_IF_ERROR(writer.Write(records));
//   RETURN_IF_ERROR(transaction.Commit());
//
// Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/adapters/sqlite.h"
#include "server/core/queues.h"
#include "server/core/record.h"

namespace trainyard::adapters {

// Keeps its statements and its memory from one commit to the next.
class RecordWriter {
 public:
  explicit RecordWriter(Database* db);

  // Within the caller's transaction. Records that are not durable are skipped.
  absl::Status Write(absl::Span<const core::Record> records);
  absl::Status WritePast(absl::Span<const core::AccountPast> accounts);

 private:
  // A statement that is prepared at its first use.
  class Lazy {
   public:
    explicit Lazy(const char* sql) : sql_(sql) {}
    absl::StatusOr<Statement*> Get(Database* db);

   private:
    const char* const sql_;
    Statement* statement_ = nullptr;
  };

  // An attempt that started, not written yet.
  struct Start {
    uint32_t attempt = 0;
    absl::Time time;
  };
  // What one commit changes of a job. Unset: stays.
  struct JobPatch {
    core::JobId id;
    core::Revision revision = 0;
    const core::JobSubmitted* submitted = nullptr;  // set: a new row
    absl::Time submit_time;
    std::optional<core::JobState> state;
    std::optional<absl::Time> start_time;
    std::optional<absl::Time> end_time;
    std::optional<absl::Time> not_before;
    std::optional<uint32_t> failures;
    std::optional<uint32_t> losses;
    std::optional<uint32_t> attempts;
    bool cancel_requested = false;
    const std::string* reason = nullptr;
    const core::Checkpoint* checkpoint = nullptr;
    const std::vector<core::Output>* outputs = nullptr;
    std::optional<Start> started;
  };

  // Whether it is a job in the queue and nothing else.
  static bool IsPlain(const JobPatch& patch);
  JobPatch& Patch(const core::Record& record);

  absl::Status On(const core::Record& record, const core::JobSubmitted& change);
  absl::Status On(const core::Record& record,
                  const core::AttemptPlaced& change);
  absl::Status On(const core::Record& record,
                  const core::AttemptStarted& change);
  absl::Status On(const core::Record& record,
                  const core::AttemptPreempted& change);
  absl::Status On(const core::Record& record,
                  const core::CheckpointStored& change);
  absl::Status On(const core::Record& record, const core::AttemptEnded& change);
  absl::Status On(const core::Record& record, const core::JobRequeued& change);
  absl::Status On(const core::Record& record,
                  const core::CancelRequested& change);
  absl::Status On(const core::Record& record, const core::JobEnded& change);
  absl::Status On(const core::Record& record,
                  const core::WorkerDrainSet& change);
  absl::Status On(const core::Record& record, const core::QueueSet& change);
  absl::Status On(const core::Record& record, const core::QueueDeleted& change);
  absl::Status On(const core::Record& record,
                  const core::QueueHoursReset& change);
  template <typename NotDurable>
  absl::Status On(const core::Record&, const NotDurable&) {
    return absl::OkStatus();
  }

  absl::Status Insert(const JobPatch& patch);
  absl::Status InsertJob(const JobPatch& patch);
  absl::Status InsertLabels(const JobPatch& patch);
  absl::Status Update(const JobPatch& patch);
  absl::Status WriteStart(const JobPatch& patch);

  Database* const db_;
  Lazy insert_attempt_;
  Lazy start_attempt_;
  Lazy preempt_attempt_;
  Lazy end_attempt_;
  Lazy set_drain_;
  Lazy set_queue_;
  Lazy touch_queue_;
  Lazy delete_past_;
  Lazy set_past_;
  Lazy insert_job_;
  Lazy insert_plain_job_;
  Lazy insert_spec_;
  Lazy insert_request_;
  Lazy insert_label_;
  Lazy update_job_;
  // Of the commit under way.
  std::vector<JobPatch> patches_;
  absl::flat_hash_map<core::JobId, size_t> by_job_;
};

}  // namespace trainyard::adapters
