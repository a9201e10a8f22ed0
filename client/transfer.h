// What uploads and downloads share; internal to client/.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/artifacts.h"

namespace trainyard::client {

constexpr size_t kChunkBytes = 512 << 10;  // the server takes up to 1 MiB

// Adds up what several files have moved. Thread-safe.
class ProgressMeter {
 public:
  ProgressMeter(const TransferOptions& options, uint64_t total)
      : report_(options.progress), total_(total) {}
  void Add(uint64_t bytes);
  // Something had to be moved.
  void SetSent() { sent_ = true; }
  bool sent() const { return sent_; }

 private:
  const std::function<void(uint64_t, uint64_t)>& report_;
  const uint64_t total_;
  std::atomic<bool> sent_ = false;
  absl::Mutex mutex_;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Calls `one` for 0 to count - 1 on at most `threads` threads. Returns the
// first error; no new ones are begun after it.
absl::Status ParallelFor(size_t count, int threads,
                         const std::function<absl::Status(size_t)>& one);

// Tries `once` again after errors that a new connection may mend, as long as
// `moved`, the bytes moved so far, grows between max_attempts tries.
absl::Status RetryTransfer(Client& client, CancelToken* cancel,
                           const uint64_t& moved,
                           const std::function<absl::Status()>& once);

}  // namespace trainyard::client
