// A runner's process: started in its own process group with the runner
// protocol's descriptors, and reaped together with what is left of its group.
//
//   ASSIGN_OR_RETURN(Process process, Process::Start({.argv = …}));
//   poll(process.stdout_fd(), …);  process.SignalGroup(SIGTERM);
//   if (auto exit = process.Reap()) …
//
// On Linux the kernel kills the process when the thread that started it ends:
// start it on a thread that outlives it. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/agent/fd.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

struct ProcessSpec {
  std::vector<std::string> argv;         // argv[0]: the program's path
  std::vector<std::string> environment;  // NAME=value
  std::string directory;                 // to start in
};

class Process {
 public:
  // Errors: NOT_FOUND, PERMISSION_DENIED, INTERNAL name the program and why.
  static absl::StatusOr<Process> Start(const ProcessSpec& spec);
  Process(Process&&) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();  // kills what still runs

  pid_t pid() const { return pid_; }
  // The near ends: not blocking, closed on exec.
  int events_fd() const { return events_.get(); }
  int commands_fd() const { return commands_.get(); }
  int stdout_fd() const { return stdout_.get(); }
  int stderr_fd() const { return stderr_.get(); }
  // Readable once the process has ended; -1 where the system has no such thing.
  int exit_fd() const { return exit_.get(); }

  // Does nothing once reaped.
  void SignalGroup(int signal) const;
  // Once the process has ended: kills the rest of its group, reaps it, tells
  // how it ended (without stderr_tail). Does not wait.
  std::optional<ProcessExit> Reap();

 private:
  Process() = default;

  pid_t pid_ = -1;
  Fd events_, commands_, stdout_, stderr_, exit_;
};

// An environment for runners: this process's own, without TRAINYARD_…, with
// `extra` ("NAME=value") added or put in place.
std::vector<std::string> RunnerEnvironment(
    const std::vector<std::string>& extra);

}  // namespace trainyard::agent
