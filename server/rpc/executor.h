// A few threads for work that blocks on the disk, so that gRPC's own threads
// never do.
//
//   Executor executor({.threads = 4, .queue_limit = 1024});
//   if (!executor.Post([reactor] { … })) reactor->Finish(…UNAVAILABLE…);
//   executor.Stop();
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace trainyard::rpc {

struct ExecutorOptions {
  size_t threads = 4;
  size_t queue_limit = 4096;  // tasks waiting
};

class Executor {
 public:
  using Task = absl::AnyInvocable<void()>;

  explicit Executor(ExecutorOptions options);
  ~Executor();  // stops
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // False: not taken, since the queue is full or the executor stopped; the task
  // is not run. A task that was taken is run.
  [[nodiscard]] bool Post(Task task);

  // Runs what waits, then ends the threads. Idempotent. Not to be called from a
  // task.
  void Stop();

 private:
  void Run();
  bool Runnable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  }

  const ExecutorOptions options_;
  absl::Mutex mutex_;
  std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex stop_mutex_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(stop_mutex_);
};

}  // namespace trainyard::rpc
