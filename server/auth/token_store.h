// Where tokens last: a port, implemented by server/adapters. Never the secrets,
// only their hashes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/auth/roles.h"

namespace trainyard::auth {

struct Token {
  std::string id;
  std::string secret_hash;  // SHA-256 in hex
  Role role = Role::kViewer;
  std::string display_name;
  std::string worker;      // the one it is for; empty with a join token: any
  bool join = false;       // to be exchanged for a worker's own
  uint32_t uses_left = 0;  // of a join token
  std::string creator;     // id of the token that made it; empty: none did
  absl::Time create_time;
  absl::Time expire_time = absl::InfiniteFuture();
  absl::Time revoke_time = absl::InfiniteFuture();
};

class TokenStore {
 public:
  virtual ~TokenStore() = default;

  virtual absl::StatusOr<std::vector<Token>> Load() = 0;
  // Adds or replaces them by id, all or none; durable when it returns.
  virtual absl::Status Put(const std::vector<Token>& tokens) = 0;
  virtual absl::Status Remove(const std::vector<std::string>& ids) = 0;
};

}  // namespace trainyard::auth
