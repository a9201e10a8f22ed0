// When a stream that several threads work on may be finished: once its end was
// asked for and nobody is within, since gRPC frees a finished stream and must
// not be asked to read or write on it after.
//
//   if (!gate.Enter()) return;       // ended
//   … StartRead(…) …
//   if (gate.Leave()) Finish(ToGrpcStatus(gate.status()));
//
//   if (gate.End(status)) Finish(ToGrpcStatus(gate.status()));
//
// Thread-safe.
#pragma once

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace trainyard::rpc {

class FinishGate {
 public:
  // False: the stream ended; start nothing.
  [[nodiscard]] bool Enter() {
    absl::MutexLock lock(&mutex_);
    if (ended_) return false;
    ++within_;
    return true;
  }

  // True, once: the caller is to finish the stream.
  [[nodiscard]] bool Leave() {
    absl::MutexLock lock(&mutex_);
    --within_;
    return MayFinish();
  }

  // The first end counts. True, once: the caller is to finish the stream.
  [[nodiscard]] bool End(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    if (ended_) return false;
    ended_ = true;
    status_ = std::move(status);
    return MayFinish();
  }

  // How it ended; OK before.
  absl::Status status() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  bool MayFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ended_ && within_ == 0 && !std::exchange(finished_, true);
  }

  mutable absl::Mutex mutex_;
  int within_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::rpc
