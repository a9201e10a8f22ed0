// Ends calls and pauses of this library from another thread.
//
//   CancelToken cancel;
//   std::thread watcher([&] { WatchJobs(client, request, {.cancel = &cancel},
//   take); }); cancel.Cancel();   // the call returns CANCELLED soon
//   watcher.join();
//
// Thread-safe, but not for signal handlers. Outlives the calls it is given to.
#pragma once

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"

namespace trainyard::client {

class CancelToken {
 public:
  CancelToken() = default;
  CancelToken(const CancelToken&) = delete;
  CancelToken& operator=(const CancelToken&) = delete;

  // For good. Idempotent.
  void Cancel();
  bool cancelled() const;
  // Sleeps; true as soon as it is cancelled.
  bool WaitFor(absl::Duration time) const;

  // While it lives, Cancel cancels the call too. token may be null.
  class Scope {
   public:
    Scope(CancelToken* token, grpc::ClientContext* context);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    CancelToken* const token_;
    grpc::ClientContext* const context_;
  };

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::client
