// A unary call under way: ends exactly once and is measured. A handle, to be
// copied into callbacks.
//
//   return UnaryCall::Serve(
//       ports_, context, "JobService/GetJob", [=](const UnaryCall& call) {
//         call.RunBlocking([=] { return Fill(request, response); });
//       });
//
// Serve is the only way to one, so that no call is served to whom it is not
// open.
//
// Done may be called on any thread; the request and the response live until
// then. gRPC's own reactor is used since it is freed without a switch to
// another thread.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/ports.h"

namespace trainyard::rpc {

class UnaryCall {
 public:
  // Calls `serve` with the call, and the caller where it takes one, if the
  // caller may make it; else ends it. `method` is a literal.
  template <typename ServeCall>
  static grpc::ServerUnaryReactor* Serve(const Ports& ports,
                                         grpc::CallbackServerContext* context,
                                         absl::string_view method,
                                         const ServeCall& serve) {
    const UnaryCall call(ports, context, method);
    const absl::StatusOr<auth::Caller> caller =
        ports.guard->Admit(*context, method);
    if (!caller.ok()) {
      call.Done(caller.status());
    } else if constexpr (std::is_invocable_v<ServeCall, const UnaryCall&,
                                             const auth::Caller&>) {
      serve(call, *caller);
    } else {
      serve(call);
    }
    return call.reactor_;
  }

  // Once, on one of the copies.
  void Done(const absl::Status& status) const {
    const absl::Duration took =
        absl::Nanoseconds(absl::GetCurrentTimeNanos() - begin_nanos_);
    ports_->metrics->OnCall(method_, CodeName(status.code()), took);
    reactor_->Finish(ToGrpcStatus(status));
  }

  // Runs `work`, which may wait for the disk, elsewhere and ends with what it
  // returns.
  void RunBlocking(absl::AnyInvocable<absl::Status()> work) const {
    const bool taken = ports_->executor->Post(
        [call = *this, work = std::move(work)]() mutable {
          call.Done(work());
        });
    if (!taken) Done(BusyError());
  }

  static absl::Status BusyError() {
    return absl::ResourceExhaustedError(
        "too many calls wait for the disk: try again later");
  }

 private:
  UnaryCall(const Ports& ports, grpc::CallbackServerContext* context,
            absl::string_view method)
      : ports_(&ports),
        reactor_(context->DefaultReactor()),
        method_(method),
        begin_nanos_(absl::GetCurrentTimeNanos()) {}

  const Ports* ports_;
  grpc::ServerUnaryReactor* reactor_;
  absl::string_view method_;
  int64_t begin_nanos_;
};

}  // namespace trainyard::rpc
