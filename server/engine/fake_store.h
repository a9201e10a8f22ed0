// A store in memory, for tests: keeps what was committed, fails when told to.
//
//   FakeStore store;
//   store.FailCommits(1, absl::ResourceExhaustedError("disk full"));
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/core/record.h"
#include "server/core/types.h"
#include "server/engine/store.h"

namespace trainyard::engine {

class FakeStore : public Store, public JobReader {
 public:
  // The next `count` calls answer with the error and change nothing.
  void FailCommits(size_t count, absl::Status error);
  void FailLoads(size_t count, absl::Status error);
  // Commits with durable records that succeeded.
  size_t commits() const;

  absl::StatusOr<Snapshot> Load() override;
  using Store::Commit;
  absl::Status Commit(absl::Span<const core::Record> records,
                      absl::Span<const core::AccountPast> past) override;
  absl::StatusOr<std::optional<core::JobId>> FindRequest(
      const std::string& request_id) override;
  absl::StatusOr<std::optional<core::JobState>> FindState(
      core::JobId job) override;

  absl::StatusOr<StoredJob> GetJob(core::JobId job) override;
  absl::StatusOr<std::string> GetSpec(core::JobId job) override;
  absl::StatusOr<std::vector<StoredJob>> ListJobs(const JobQuery& query,
                                                  core::JobId before,
                                                  size_t limit) override;
  absl::StatusOr<std::vector<StoredJob>> ChangedJobs(const JobQuery& query,
                                                     core::Revision revision,
                                                     size_t limit) override;

 private:
  // Whether the record is about no job and was applied.
  bool ApplyToNoJob(const core::Record& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(const core::Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  core::Revision revision_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<core::JobId, StoredJob> jobs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, core::JobId> requests_ ABSL_GUARDED_BY(mutex_);
  std::map<core::Revision, core::JobId> changes_ ABSL_GUARDED_BY(mutex_);
  std::map<core::WorkerName, bool> draining_ ABSL_GUARDED_BY(mutex_);
  std::map<core::QueueName, core::QueueSettings> queues_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<core::QueueName, std::optional<core::UserName>>,
           core::PastUsages>
      past_ ABSL_GUARDED_BY(mutex_);
  size_t commits_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t failing_commits_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status commit_error_ ABSL_GUARDED_BY(mutex_);
  size_t failing_loads_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status load_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::engine
