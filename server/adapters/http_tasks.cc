#include "server/adapters/http_tasks.h"

namespace trainyard::adapters {
namespace {

thread_local bool refusing_task = false;

}  // namespace

HttpTasks::HttpTasks(size_t threads, size_t waiting) : waiting_(waiting) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
  }
}

bool HttpTasks::refusing() { return refusing_task; }

HttpTasks::Taken HttpTasks::enqueue(std::function<void()> task) {
  bool full = false;
  {
    absl::MutexLock lock(&mutex_);
    full = stopping_ || queue_.size() >= waiting_;
    if (!full) queue_.push_back(task);
  }
  if (full) {
    refusing_task = true;
    task();
    refusing_task = false;
  }
  return static_cast<Taken>(true);
}

void HttpTasks::shutdown() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void HttpTasks::Run() {
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &HttpTasks::Runnable));
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace trainyard::adapters
