#include "server/adapters/reader_pool.h"

#include <utility>

#include "absl/time/time.h"
#include "base/status_macros.h"

namespace trainyard::adapters {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(10);
constexpr int64_t kCacheKib = 8 * 1024;

}  // namespace

absl::Status ReaderPool::Open(const std::string& path, int connections) {
  absl::MutexLock lock(&mutex_);
  for (int i = 0; i < connections; ++i) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<Database> reader,
        Database::Open(path, {.read_only = true, .cache_kib = kCacheKib}));
    idle_.push_back(std::move(reader));
  }
  return absl::OkStatus();
}

absl::Status ReaderPool::Read(absl::FunctionRef<absl::Status(Database*)> read) {
  return ReadOne([&](Database* db) {
    Transaction transaction(db, /*write=*/false);
    return transaction.status().ok() ? read(db) : transaction.status();
  });
}

absl::Status ReaderPool::ReadOne(
    absl::FunctionRef<absl::Status(Database*)> read) {
  std::unique_ptr<Database> reader;
  {
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithTimeout(absl::Condition(this, &ReaderPool::HasIdle),
                                 kDeadline)) {
      return absl::UnavailableError(
          "the store is busy with other reads: try again");
    }
    reader = std::move(idle_.back());
    idle_.pop_back();
  }
  absl::Status status = read(reader.get());
  absl::MutexLock lock(&mutex_);
  idle_.push_back(std::move(reader));
  return status;
}

}  // namespace trainyard::adapters
