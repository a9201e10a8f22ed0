// What HOST:PORT says, as command lines and config files have it.
//
//   IsLoopback("127.0.0.1:7070")   // true
//   ASSIGN_OR_RETURN(HostPort at, ParseHostPort("[::1]:9464"));  // ::1, 9464
//
// Functions only.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace trainyard {

struct HostPort {
  std::string host;  // an IPv6 address without its brackets
  int port = 0;
};

// INVALID_ARGUMENT: what the address must be. Port 0 is allowed.
absl::StatusOr<HostPort> ParseHostPort(const std::string& address);

// Whether only programs of this machine are reached by it, or reach it. Names
// other than "localhost" are not looked up and count as other machines; unix:
// sockets are of this one.
bool IsLoopback(const std::string& address);

}  // namespace trainyard
