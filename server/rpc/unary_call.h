// A unary call under way: finishes exactly once, is measured, frees itself.
//
//   auto* call = new UnaryCall(ports_, "JobService/GetJob");
//   call->RunBlocking([=] { return Fill(request, response); });
//   return call;
//
// Finish may be called on any thread; the request and the response live until
// then.
#pragma once

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/ports.h"

namespace trainyard::rpc {

class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  // `method` is a literal.
  UnaryCall(const Ports& ports, absl::string_view method)
      : ports_(ports), method_(method), begin_(absl::GetCurrentTimeNanos()) {}

  void Done(const absl::Status& status) {
    const absl::Duration took =
        absl::Nanoseconds(absl::GetCurrentTimeNanos() - begin_);
    ports_.metrics->OnCall(method_, CodeName(status.code()), took);
    Finish(ToGrpcStatus(status));
  }

  // Runs `work`, which may wait for the disk, elsewhere and ends with what it
  // returns.
  void RunBlocking(absl::AnyInvocable<absl::Status()> work) {
    const bool taken = ports_.executor->Post(
        [this, work = std::move(work)]() mutable { Done(work()); });
    if (!taken) Done(BusyError());
  }

  static absl::Status BusyError() {
    return absl::ResourceExhaustedError(
        "too many calls wait for the disk: try again later");
  }

 private:
  void OnDone() override { delete this; }

  const Ports& ports_;
  const absl::string_view method_;
  const int64_t begin_;
};

}  // namespace trainyard::rpc
