// Reads the cluster for a call.
//
//   AskEngine(ports_, call, [=](const core::Cluster& cluster) {
//     return Fill(cluster, response);
//   });
#pragma once

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/core/cluster.h"
#include "server/rpc/ports.h"
#include "server/rpc/unary_call.h"

namespace trainyard::rpc {

// Ends the call when it is dropped without an answer, as a stopping engine
// drops what waits.
class PendingCall {
 public:
  explicit PendingCall(const UnaryCall& call) : call_(call) {}
  ~PendingCall() {
    if (!done_) call_.Done(StoppingError());
  }
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;
  void Done(const absl::Status& status) {
    done_ = true;
    call_.Done(status);
  }

 private:
  const UnaryCall call_;
  bool done_ = false;
};

// Ends the call with what `read` makes of the cluster, on the engine's thread.
inline void AskEngine(
    const Ports& ports, const UnaryCall& call,
    absl::AnyInvocable<absl::Status(const core::Cluster&)> read) {
  auto pending = std::make_unique<PendingCall>(call);
  // Not taken: destroying the callback ends the call.
  ports.engine->Read([pending = std::move(pending), read = std::move(read)](
                         const core::Cluster& cluster) mutable {
    pending->Done(read(cluster));
  });
}

}  // namespace trainyard::rpc
