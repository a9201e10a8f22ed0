#include "client/transfer.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace trainyard::client {
namespace {

// OUT_OF_RANGE: the server has another offset than we thought.
bool IsMendable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kOutOfRange:
      return true;
    default:
      return false;
  }
}

}  // namespace

void ProgressMeter::Add(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  done_ += bytes;
  // Under the lock, so that the figures come one at a time and in order.
  if (report_) report_(done_, total_);
}

absl::Status ParallelFor(size_t count, int threads,
                         const std::function<absl::Status(size_t)>& one) {
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  absl::Mutex mutex;
  absl::Status first_error;
  const auto work = [&] {
    for (size_t i = next++; i < count && !failed; i = next++) {
      absl::Status status = one(i);
      if (status.ok()) continue;
      failed = true;
      absl::MutexLock lock(&mutex);
      first_error.Update(status);
    }
  };
  const size_t extra =
      std::min<size_t>(static_cast<size_t>(std::max(threads, 1)), count);
  std::vector<std::thread> workers;
  for (size_t i = 1; i < extra; ++i) workers.emplace_back(work);
  work();
  for (std::thread& worker : workers) worker.join();
  return first_error;
}

absl::Status RetryTransfer(Client& client, CancelToken* cancel,
                           const uint64_t& moved,
                           const std::function<absl::Status()>& once) {
  const ClientOptions& options = client.options();
  Backoff backoff(options.retry, options.ports.random);
  int failures = 0;
  while (true) {
    const uint64_t before = moved;
    absl::Status status = once();
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError("the caller cancelled the transfer");
    }
    if (status.ok() || !IsMendable(status)) return status;
    if (moved > before) {
      failures = 0;
      backoff.Reset();
    }
    if (++failures >= options.retry.max_attempts) return status;
    options.ports.sleep(backoff.Next(), cancel);
  }
}

}  // namespace trainyard::client
