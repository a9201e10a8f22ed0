// absl::Status as gRPC sends it. The codes are the same; messages are kept
// short enough for a trailer.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"

namespace trainyard::rpc {

grpc::Status ToGrpcStatus(const absl::Status& status);

// "OK", "NOT_FOUND", …: a fixed set.
absl::string_view CodeName(absl::StatusCode code);

// What calls are told while the server stops.
absl::Status StoppingError();

}  // namespace trainyard::rpc
