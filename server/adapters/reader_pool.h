// A few read-only connections to one SQLite file, shared by many threads.
//
//   ReaderPool readers;
//   RETURN_IF_ERROR(readers.Open(path, 4));
//   RETURN_IF_ERROR(readers.Read([&](Database* db) { … }));
//
// Thread-safe once open.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/adapters/sqlite.h"

namespace trainyard::adapters {

class ReaderPool {
 public:
  // The file must exist.
  absl::Status Open(const std::string& path, int connections);
  // Runs `read` within a read transaction: it sees one state. Waits at most
  // 10 s for a free connection: UNAVAILABLE.
  absl::Status Read(absl::FunctionRef<absl::Status(Database*)> read);
  // The same for a single statement, which is a read transaction by itself.
  absl::Status ReadOne(absl::FunctionRef<absl::Status(Database*)> read);

 private:
  bool HasIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !idle_.empty();
  }

  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Database>> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::adapters
