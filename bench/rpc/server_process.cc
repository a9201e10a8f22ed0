#include "bench/rpc/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status_macros.h"

namespace trainyard::bench {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
// A store with many jobs is read first.
constexpr absl::Duration kStartPatience = absl::Seconds(120);
constexpr absl::string_view kListening = "trainyard-server listening on ";

// In the child: only calls that are safe after fork.
[[noreturn]] void Exec(char* const* argv, int output) {
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
  dup2(output, STDOUT_FILENO);
  execv(argv[0], argv);
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const std::string& program, const std::string& state_dir) {
  if (access(program.c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat("--server: ", program, ": must be trainyard-server"));
  }
  std::vector<std::string> arguments = {
      program,       "--listen",    "127.0.0.1:0",
      "--state-dir", state_dir,     "--metrics-address",
      "off",         "--log-level", "warn"};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe(ends) != 0) return absl::ErrnoToStatus(errno, "pipe");
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  const pid_t pid = fork();
  if (pid == 0) Exec(argv.data(), ends[1]);
  const int error = errno;
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return absl::ErrnoToStatus(error, "fork");
  }
  auto server = std::unique_ptr<ServerProcess>(new ServerProcess(pid, ends[0]));
  RETURN_IF_ERROR(server->ReadAddress());
  return server;
}

absl::Status ServerProcess::ReadAddress() {
  const absl::Time deadline = absl::Now() + kStartPatience;
  std::string text;
  while (absl::Now() < deadline) {
    pollfd poll_for = {output_, POLLIN, 0};
    if (poll(&poll_for, 1, 100) <= 0) continue;
    char buffer[512];
    const ssize_t got = read(output_, buffer, sizeof(buffer));
    if (got <= 0) {
      return absl::UnavailableError(
          "trainyard-server ended before it listened; see its errors above");
    }
    text.append(buffer, static_cast<size_t>(got));
    const std::vector<std::string> lines = absl::StrSplit(text, '\n');
    // What follows the last newline is not whole yet.
    for (size_t i = 0; i + 1 < lines.size(); ++i) {
      if (!absl::StartsWith(lines[i], kListening)) continue;
      address_ = lines[i].substr(kListening.size());
      return absl::OkStatus();
    }
  }
  return absl::DeadlineExceededError(
      "trainyard-server did not say where it listens within 120 s");
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  const absl::Time deadline = absl::Now() + kPatience;
  while (waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (absl::Now() > deadline) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      break;
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  close(output_);
}

}  // namespace trainyard::bench
