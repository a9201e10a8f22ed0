#include "bench/scheduler/sim_fleet.h"

#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "bench/rpc/loopback.h"
#include "bench/scheduler/sim_worker.h"

namespace trainyard::bench {
namespace {

// Between looks at all the workers' timers.
constexpr std::chrono::milliseconds kTimerInterval(20);

}  // namespace

class SimFleet::Impl {
 public:
  Impl(Channels channels, SimFleetOptions options)
      : channels_(std::move(channels)), options_(std::move(options)) {
    for (int i = 0; i < options_.workers; ++i) {
      workers_.push_back(std::make_unique<SimWorker>(
          i, options_, &own_,
          channels_[static_cast<size_t>(i) % channels_.size()]));
    }
    thread_ = std::thread([this] { Run(); });
  }

  ~Impl() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }

  SimFleetCounts counts() const {
    absl::MutexLock lock(&mutex_);
    return counts_;
  }

  absl::Status WaitFor(uint64_t SimFleetCounts::*count, uint64_t wanted,
                       absl::Duration timeout) {
    const auto done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return counts_.*count >= wanted || !status_.ok();
    };
    absl::MutexLock lock(&mutex_);
    const bool in_time =
        mutex_.AwaitWithTimeout(absl::Condition(&done), timeout);
    RETURN_IF_ERROR(status_);
    if (in_time) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrCat("only ", counts_.*count, " of ", wanted, " within ",
                     absl::FormatDuration(timeout)));
  }

  uint64_t workers() const { return workers_.size(); }

 private:
  using Clock = SimWorker::Clock;

  void Run() {
    for (auto& worker : workers_) worker->Start(&queue_);
    auto next_timers = Clock::now();
    while (!Publish()) {
      void* tag = nullptr;
      bool ok = false;
      const auto deadline =
          std::chrono::system_clock::now() + (next_timers - Clock::now());
      if (queue_.AsyncNext(&tag, &ok, deadline) ==
          grpc::CompletionQueue::GOT_EVENT) {
        Handle(tag, ok);
      }
      if (const auto now = Clock::now(); now >= next_timers) {
        for (auto& worker : workers_) worker->OnTimer(now);
        next_timers = now + kTimerInterval;
      }
    }
    for (auto& worker : workers_) worker->Cancel();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    // Cancelled calls give back all their tags. None starts another operation:
    // their queue is shut down.
    while (queue_.Next(&tag, &ok)) {
    }
  }

  void Handle(void* tag, bool ok) {
    auto* const event = static_cast<SimWorker::Tag*>(tag);
    (event->worker->*event->then)(ok);
    if (!event->worker->status().ok()) {
      absl::MutexLock lock(&mutex_);
      status_.Update(event->worker->status());
    }
  }

  // Shows what was counted; true when it is to stop.
  bool Publish() {
    absl::MutexLock lock(&mutex_);
    counts_ = own_;
    return stopping_;
  }

  const Channels channels_;
  const SimFleetOptions options_;
  grpc::CompletionQueue queue_;
  SimFleetCounts own_;  // the thread's
  std::vector<std::unique_ptr<SimWorker>> workers_;
  mutable absl::Mutex mutex_;
  SimFleetCounts counts_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

SimFleet::SimFleet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SimFleet::~SimFleet() = default;

absl::StatusOr<std::unique_ptr<SimFleet>> SimFleet::Start(
    const std::string& address, SimFleetOptions options) {
  ASSIGN_OR_RETURN(Channels channels, Connect(address, options.connections));
  return std::unique_ptr<SimFleet>(new SimFleet(
      std::make_unique<Impl>(std::move(channels), std::move(options))));
}

SimFleetCounts SimFleet::counts() const { return impl_->counts(); }

absl::Status SimFleet::WaitUntilTold(absl::Duration timeout) {
  return WithContext(
      impl_->WaitFor(&SimFleetCounts::told, impl_->workers(), timeout),
      "workers that were told what they should be");
}

absl::Status SimFleet::WaitForStarts(uint64_t attempts,
                                     absl::Duration timeout) {
  return WithContext(
      impl_->WaitFor(&SimFleetCounts::started, attempts, timeout),
      "attempts that came to a worker");
}

absl::Status SimFleet::WaitForEnds(uint64_t attempts, absl::Duration timeout) {
  return WithContext(impl_->WaitFor(&SimFleetCounts::ended, attempts, timeout),
                     "attempts whose end was acknowledged");
}

}  // namespace trainyard::bench
