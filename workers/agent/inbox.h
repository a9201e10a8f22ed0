// Events on their way to the agent's loop: a bounded queue.
//
//   inbox.Post(event);                       // any thread; may wait for room
//   while (inbox.Next(deadline, event)) …    // the loop
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "workers/agent/core.h"

namespace trainyard::agent {

class Inbox {
 public:
  explicit Inbox(size_t limit) : limit_(limit) {}

  // Waits for room; once closed, drops the event at once.
  void Post(Event event) {
    absl::MutexLock lock(&mutex_);
    const auto room = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return closed_ || events_.size() < limit_;
    };
    mutex_.Await(absl::Condition(&room));
    if (!closed_) events_.push_back(std::move(event));
  }

  // Never waits: for the loop itself, whose events are few.
  void PostNow(Event event) {
    absl::MutexLock lock(&mutex_);
    if (!closed_) events_.push_back(std::move(event));
  }

  // False: the deadline passed.
  bool Next(absl::Time deadline, Event& event) {
    absl::MutexLock lock(&mutex_);
    const auto any = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !events_.empty();
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&any), deadline)) {
      return false;
    }
    event = std::move(events_.front());
    events_.pop_front();
    return true;
  }

  // Lets go of all who wait for room.
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

 private:
  const size_t limit_;
  absl::Mutex mutex_;
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace trainyard::agent
