// Writes records as rows: changes of one job within a commit become one row
// write.
//
//   Transaction transaction(db);
//   RETURN_IF_ERROR(RecordWriter(db).Write(records));
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
#include "server/core/record.h"

namespace trainyard::adapters {

// Within the caller's transaction. Records must outlive the writer.
class RecordWriter {
 public:
  explicit RecordWriter(Database* db) : db_(db) {}

  // Records that are not durable are skipped.
  absl::Status Write(absl::Span<const core::Record> records);

 private:
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
    std::optional<uint32_t> attempts;
    bool cancel_requested = false;
    const std::string* reason = nullptr;
    const core::Checkpoint* checkpoint = nullptr;
    const std::vector<core::Output>* outputs = nullptr;
  };

  JobPatch& Patch(const core::Record& record);

  absl::Status On(const core::Record& record, const core::JobSubmitted& change);
  absl::Status On(const core::Record& record,
                  const core::AttemptPlaced& change);
  absl::Status On(const core::Record& record,
                  const core::AttemptStarted& change);
  absl::Status On(const core::Record& record,
                  const core::CheckpointStored& change);
  absl::Status On(const core::Record& record, const core::AttemptEnded& change);
  absl::Status On(const core::Record& record, const core::JobRequeued& change);
  absl::Status On(const core::Record& record,
                  const core::CancelRequested& change);
  absl::Status On(const core::Record& record, const core::JobEnded& change);
  absl::Status On(const core::Record& record,
                  const core::WorkerDrainSet& change);
  template <typename NotDurable>
  absl::Status On(const core::Record&, const NotDurable&) {
    return absl::OkStatus();
  }

  absl::Status Insert(const JobPatch& patch);
  absl::Status InsertLabels(const JobPatch& patch);
  absl::Status Update(const JobPatch& patch);

  Database* const db_;
  std::vector<JobPatch> patches_;
  absl::flat_hash_map<core::JobId, size_t> by_job_;
};

}  // namespace trainyard::adapters
