// Log lines and metric points in an SQLite file of their own: a power cut may
// take the newest of them, a crash of the server takes none. Each job keeps its
// newest entries up to a bound, and so does the whole file, from the oldest
// jobs on; readers are told of what they missed.
//
//   ASSIGN_OR_RETURN(auto points, SqlitePoints::Open(folder + "/telemetry.db",
//   {})); RETURN_IF_ERROR(points->Append(entries));
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "server/adapters/reader_pool.h"
#include "server/adapters/sqlite.h"
#include "server/telemetry/points.h"

namespace trainyard::adapters {

struct SqlitePointsOptions {
  int readers = 2;
  int64_t entries_per_job = 100'000;        // lines and points each
  int64_t bytes_in_all = int64_t{4} << 30;  // of payload
};

class SqlitePoints : public telemetry::PointStore {
 public:
  static absl::StatusOr<std::unique_ptr<SqlitePoints>> Open(
      const std::string& path, SqlitePointsOptions options);

  absl::Status Append(absl::Span<const telemetry::Entry> entries) override;
  absl::StatusOr<telemetry::Page> Read(
      const telemetry::ReadRequest& request) override;
  absl::StatusOr<uint64_t> Tail(uint64_t job, telemetry::Kind kind,
                                uint32_t attempt, uint64_t count) override;

 private:
  // The lines or the points of one job.
  struct Stream {
    int64_t first = 1;  // position of the oldest entry kept
    int64_t last = 0;   // position of the newest entry
    int64_t bytes = 0;  // of payload, kept
  };
  using StreamId = std::pair<int64_t, int>;  // (job, kind)
  // What one Append changes, besides new entries.
  struct Changes {
    absl::flat_hash_map<telemetry::AttemptId, uint64_t> sequences;
    absl::flat_hash_map<StreamId, Stream> streams;
    int64_t bytes = 0;  // added, less removed
  };

  SqlitePoints(SqlitePointsOptions options, std::unique_ptr<Database> writer)
      : options_(options), writer_(std::move(writer)) {}

  absl::Status Insert(const telemetry::Entry& entry, Changes* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<uint64_t*> Sequence(telemetry::AttemptId attempt,
                                     Changes* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Stream*> FindStream(StreamId id, Changes* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops entries up to a position.
  absl::Status Drop(StreamId id, int64_t up_to, Changes* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status DropOldestJobs(Changes* changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WriteBack(const Changes& changes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SqlitePointsOptions options_;
  absl::Mutex mutex_;
  const std::unique_ptr<Database> writer_ ABSL_PT_GUARDED_BY(mutex_);
  int64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of payload, in the whole file
  ReaderPool readers_;
};

}  // namespace trainyard::adapters
