// The HTTP port's threads: so many, and so many connections that wait for one.
// A connection beyond those is closed at once. For cpp-httplib, which owns it.
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "httplib.h"

namespace trainyard::adapters {

class HttpTasks final : public httplib::TaskQueue {
  // Nothing in cpp-httplib 0.11; newer ones are told whether it was taken.
  using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue(nullptr));

 public:
  HttpTasks(size_t threads, size_t waiting);

  Taken enqueue(std::function<void()> task) override;
  void shutdown() override;

  // Whether the task that runs on this thread is one too many: it is to close
  // its connection and no more.
  static bool refusing();

 private:
  void Run();
  bool Runnable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  }

  const size_t waiting_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace trainyard::adapters
