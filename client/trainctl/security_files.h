// The files with which a server, its workers and its users trust each other: a
// CA, certificates for each, and the first admin's token.
//
//   ASSIGN_OR_RETURN(SecurityFiles made, MakeSecurityFiles(request));
//
//   DIR/ca.crt, ca.key           signs the others; keep the key safe
//   DIR/server.crt, server.key   for the names and addresses of the server
//   DIR/worker.crt, worker.key   for all workers
//   DIR/client.crt, client.key   for users
//   DIR/admin.token              the first admin's token
//   DIR/bootstrap-token.hash     its hash, for the server
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trainyard::trainctl {

struct SecurityRequest {
  std::string folder;
  std::vector<std::string> hosts;  // localhost is always added
  absl::Duration lifetime;         // of certificates; the CA has ten years
  bool renew = false;              // certificates that are there are made anew
  absl::Time now;
};

struct SecurityFiles {
  std::vector<std::string> made;  // file names
  std::vector<std::string> kept;
};

// Files that are there stay as they are, but for the certificates with
// `renew`; the CA and the token are never replaced. FAILED_PRECONDITION: only
// one half of a pair is there.
absl::StatusOr<SecurityFiles> MakeSecurityFiles(const SecurityRequest& request);

}  // namespace trainyard::trainctl
