// Asks of every call who makes it and whether he may; the calls' base classes
// (unary_call, stream_call, transfer, the workers' streams) go through here
// before they do anything. A denied call is one line in the log, at most so
// many a second.
//
//   ASSIGN_OR_RETURN(auth::Caller caller, ports.guard->Admit(*context,
//   method));
//
// Thread-safe.
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "grpcpp/server_context.h"
#include "server/auth/authority.h"

namespace trainyard::rpc {

class Guard {
 public:
  // Both live longer than the guard.
  Guard(const auth::Authority* authority, const Clock* clock)
      : authority_(authority), clock_(clock) {}

  // UNAUTHENTICATED, PERMISSION_DENIED, with what is missing.
  absl::StatusOr<auth::Caller> Admit(const grpc::ServerContextBase& context,
                                     absl::string_view method);
  // For calls that last: whether the caller's token is still good.
  absl::Status StillGood(const auth::Caller& caller) const {
    return authority_->StillGood(caller);
  }

 private:
  void Note(const grpc::ServerContextBase& context, absl::string_view method,
            const absl::Status& denied);

  const auth::Authority* const authority_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  absl::Time second_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  int lines_ ABSL_GUARDED_BY(mutex_) = 0;          // in this second
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;  // since the last line
};

// Whether a worker's token is for the worker that it says it is.
// PERMISSION_DENIED.
absl::Status CheckIsWorker(const auth::Caller& caller,
                           absl::string_view worker);

}  // namespace trainyard::rpc
