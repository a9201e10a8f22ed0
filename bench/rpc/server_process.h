// A real trainyard-server as a child process, on a free port of this machine.
//
//   ASSIGN_OR_RETURN(auto server, ServerProcess::Start(program, state_dir));
//   grpc::CreateChannel(server->address(), …);
//
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace trainyard::bench {

class ServerProcess {
 public:
  // Returns when it listens; 120 s at most.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(
      const std::string& program, const std::string& state_dir);
  // SIGTERM, and SIGKILL after 30 s.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  pid_t pid() const { return pid_; }

 private:
  ServerProcess(pid_t pid, int output) : pid_(pid), output_(output) {}
  absl::Status ReadAddress();

  const pid_t pid_;
  const int output_;
  std::string address_;
};

}  // namespace trainyard::bench
