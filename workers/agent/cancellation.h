// Says to long work that it is no longer wanted.
//
//   Cancellation cancellation;
//   …on another thread: cancellation.Cancel();
//   if (cancellation.WaitFor(pause)) return absl::CancelledError("…");
//
// Thread-safe.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"

namespace trainyard::agent {

class Cancellation {
 public:
  void Cancel() {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }
  // Pauses. True: cancelled, possibly before.
  bool WaitFor(absl::Duration pause) const {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&cancelled_), pause);
  }

  // While it lives, Cancel also cancels the call. One at a time.
  class Call {
   public:
    Call(Cancellation* owner, grpc::ClientContext* context) : owner_(owner) {
      absl::MutexLock lock(&owner_->mutex_);
      owner_->context_ = context;
      if (owner_->cancelled_) context->TryCancel();
    }
    ~Call() {
      absl::MutexLock lock(&owner_->mutex_);
      owner_->context_ = nullptr;
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    Cancellation* const owner_;
  };

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace trainyard::agent
