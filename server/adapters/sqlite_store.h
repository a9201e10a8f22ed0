// Durable state in one SQLite file: write-ahead log, on disk when Commit
// returns. One connection writes; a few others read at the same time.
//
//   ASSIGN_OR_RETURN(auto store, SqliteStore::Open(folder + "/jobs.db", {}));
//   ASSIGN_OR_RETURN(engine::Snapshot snapshot, store->Load());
//   RETURN_IF_ERROR(store->Commit(records));
//
// The Store half belongs to one thread, the JobReader half is thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/adapters/reader_pool.h"
#include "server/adapters/record_writer.h"
#include "server/adapters/sqlite.h"
#include "server/engine/store.h"

namespace trainyard::adapters {

struct SqliteStoreOptions {
  int readers = 4;
  int64_t max_pages = 0;  // of 4 KiB, for the whole file; 0: as the disk allows
};

class SqliteStore : public engine::Store, public engine::JobReader {
 public:
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(
      const std::string& path, SqliteStoreOptions options);

  absl::StatusOr<engine::Snapshot> Load() override;
  using engine::Store::Commit;
  absl::Status Commit(absl::Span<const core::Record> records,
                      absl::Span<const core::AccountPast> past) override;
  absl::StatusOr<std::optional<core::JobId>> FindRequest(
      const std::string& request_id) override;
  absl::StatusOr<std::optional<core::JobState>> FindState(
      core::JobId job) override;

  // UNAVAILABLE when all reading connections stay busy.
  absl::StatusOr<engine::StoredJob> GetJob(core::JobId job) override;
  absl::StatusOr<std::string> GetSpec(core::JobId job) override;
  absl::StatusOr<std::vector<engine::StoredJob>> ListJobs(
      const engine::JobQuery& query, core::JobId before, size_t limit) override;
  absl::StatusOr<std::vector<engine::StoredJob>> ChangedJobs(
      const engine::JobQuery& query, core::Revision revision,
      size_t limit) override;

 private:
  explicit SqliteStore(std::unique_ptr<Database> writer)
      : writer_(std::move(writer)), record_writer_(writer_.get()) {}

  absl::Status LoadRequests();
  void RememberRequest(const std::string& request_id, core::JobId job);
  absl::StatusOr<std::vector<engine::StoredJob>> ReadJobs(
      absl::FunctionRef<absl::StatusOr<std::vector<core::JobId>>(Database*)>
          find);

  // The writing thread's.
  const std::unique_ptr<Database> writer_;
  RecordWriter record_writer_;
  // Hash of request_id → job. Where two ids share a hash, the later ones are in
  // collisions_.
  absl::flat_hash_map<uint64_t, core::JobId> requests_;
  absl::flat_hash_map<std::string, core::JobId> collisions_;

  ReaderPool readers_;
};

}  // namespace trainyard::adapters
