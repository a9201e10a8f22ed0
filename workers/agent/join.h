// How a worker comes by a token of its own: with a join token, once, at its
// first start. The secret is made here and never leaves this machine but as
// proof; the token lies in the work folder, for its owner alone.
//
//   ASSIGN_OR_RETURN(Security security, JoinServer(request, pause));
//   auto channel = MakeWorkerChannel(server, security);
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/channel/channel.h"

namespace trainyard::agent {

struct JoinRequest {
  std::string server;
  std::string worker;
  Security security;       // as the worker was started
  std::string token_file;  // where its own token is, or will be
};

// The security to work with: as given where that has a token that is no join
// token, or none and there is no own one. Tries for as long as the server
// cannot be reached; `pause` waits, and returns false to give up: CANCELLED.
// Other errors are the server's.
absl::StatusOr<Security> JoinServer(
    const JoinRequest& request,
    const std::function<bool(absl::Duration)>& pause);

}  // namespace trainyard::agent
