#include "workers/agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

extern char** environ;

namespace trainyard::agent {
namespace {

// The child's descriptors 0 to 4 are put in place from numbers above these, so
// that none overwrites another.
constexpr int kLowestFd = 10;
constexpr int kLastRunnerFd = 4;
constexpr int kExecFailed = 127;

struct Pipe {
  Fd read;
  Fd write;
};

absl::Status OsError(absl::string_view what) {
  return absl::InternalError(absl::StrCat(what, ": ", strerror(errno)));
}

absl::StatusOr<Fd> MoveUp(Fd low) {
  Fd high(fcntl(low.get(), F_DUPFD_CLOEXEC, kLowestFd));
  if (!high.valid()) return OsError("cannot duplicate a descriptor");
  return high;
}

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
#ifdef __linux__
  if (pipe2(fds, O_CLOEXEC) != 0) return OsError("cannot make a pipe");
#else
  if (pipe(fds) != 0) return OsError("cannot make a pipe");
  fcntl(fds[0], F_SETFD, FD_CLOEXEC);
  fcntl(fds[1], F_SETFD, FD_CLOEXEC);
#endif
  Fd read(fds[0]);
  Fd write(fds[1]);
  Pipe result;
  ASSIGN_OR_RETURN(result.read, MoveUp(std::move(read)));
  ASSIGN_OR_RETURN(result.write, MoveUp(std::move(write)));
  return result;
}

void DoNotBlock(const Fd& fd) {
  fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) {
    pointers.push_back(const_cast<char*>(string.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

// What the child needs after fork, where nothing may be allocated.
struct ChildPlan {
  std::array<int, kLastRunnerFd + 1> fds;  // for 0, 1, 2, 3, 4
  int error_fd;                            // gets errno if exec fails
  char* const* argv;
  char* const* environment;
  const char* directory;
  pid_t parent;
};

void CloseFrom(int first, int keep) {
#if defined(__linux__) && defined(SYS_close_range)
  if (syscall(SYS_close_range, first, keep - 1, 0) == 0 &&
      syscall(SYS_close_range, keep + 1, ~0U, 0) == 0) {
    return;
  }
#endif
  const long limit = sysconf(_SC_OPEN_MAX);
  for (int fd = first; fd < (limit > 0 && limit < 65536 ? limit : 65536);
       ++fd) {
    if (fd != keep) close(fd);
  }
}

// Runs in the child; async-signal-safe calls only.
[[noreturn]] void RunChild(const ChildPlan& plan) {
  setpgid(0, 0);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != plan.parent) _exit(kExecFailed);  // it died meanwhile
#endif
  bool ok = true;
  for (int fd = 0; fd <= kLastRunnerFd; ++fd) {
    ok = ok && dup2(plan.fds[fd], fd) == fd;
  }
  CloseFrom(kLastRunnerFd + 1, plan.error_fd);
  if (ok && chdir(plan.directory) == 0) {
    execve(plan.argv[0], plan.argv, plan.environment);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t written =
      write(plan.error_fd, &error, sizeof(error));
  _exit(kExecFailed);
}

// 0 once exec succeeded, else the child's errno.
int ReadChildError(const Fd& fd) {
  int error = 0;
  ssize_t got;
  do {
    got = read(fd.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(error) ? error : 0;
}

Fd OpenExitFd(pid_t pid) {
#if defined(__linux__) && defined(SYS_pidfd_open)
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
#else
  return Fd();
#endif
}

absl::Status ExecError(const ProcessSpec& spec, int error) {
  const std::string message = absl::StrCat("cannot start the runner ",
                                           spec.argv[0], ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(message);
  if (error == EACCES) return absl::PermissionDeniedError(message);
  return absl::InternalError(message);
}

}  // namespace

absl::StatusOr<Process> Process::Start(const ProcessSpec& spec) {
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  ASSIGN_OR_RETURN(Pipe events, MakePipe());
  ASSIGN_OR_RETURN(Pipe commands, MakePipe());
  ASSIGN_OR_RETURN(Pipe error, MakePipe());
  ASSIGN_OR_RETURN(const Fd null,
                   MoveUp(Fd(open("/dev/null", O_RDONLY | O_CLOEXEC))));
  const std::vector<char*> argv = Pointers(spec.argv);
  const std::vector<char*> environment = Pointers(spec.environment);
  const ChildPlan plan{.fds = {null.get(), out.write.get(), err.write.get(),
                               events.write.get(), commands.read.get()},
                       .error_fd = error.write.get(),
                       .argv = argv.data(),
                       .environment = environment.data(),
                       .directory = spec.directory.c_str(),
                       .parent = getpid()};

  // With all signals blocked none of our handlers runs in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = fork();
  if (pid == 0) RunChild(plan);
  const int fork_error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = fork_error;
  if (pid < 0) return OsError("cannot fork");
  setpgid(pid, pid);  // also here: a signal may be sent before the child runs

  error.write.Reset();
  if (const int child_error = ReadChildError(error.read); child_error != 0) {
    waitpid(pid, nullptr, 0);
    return ExecError(spec, child_error);
  }
  Process process;
  process.pid_ = pid;
  process.events_ = std::move(events.read);
  process.commands_ = std::move(commands.write);
  process.stdout_ = std::move(out.read);
  process.stderr_ = std::move(err.read);
  process.exit_ = OpenExitFd(pid);
  for (const Fd* fd : {&process.events_, &process.commands_, &process.stdout_,
                       &process.stderr_}) {
    DoNotBlock(*fd);
  }
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      events_(std::move(other.events_)),
      commands_(std::move(other.commands_)),
      stdout_(std::move(other.stdout_)),
      stderr_(std::move(other.stderr_)),
      exit_(std::move(other.exit_)) {}

Process::~Process() {
  if (pid_ < 0) return;
  SignalGroup(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Process::SignalGroup(int signal) const {
  if (pid_ > 0) kill(-pid_, signal);
}

std::optional<ProcessExit> Process::Reap() {
  if (pid_ < 0) return std::nullopt;
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info,
             WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return std::nullopt;
  }
  SignalGroup(SIGKILL);  // while the zombie still keeps the number taken
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  exit_.Reset();
  ProcessExit exit;
  if (WIFSIGNALED(status)) {
    exit.signal = WTERMSIG(status);
  } else {
    exit.code = WEXITSTATUS(status);
  }
  return exit;
}

std::vector<std::string> RunnerEnvironment(
    const std::vector<std::string>& extra) {
  std::vector<std::string> result = extra;
  const auto replaced = [&](absl::string_view variable) {
    const absl::string_view name =
        variable.substr(0, variable.find('=') + 1);  // with '='
    for (const std::string& other : extra) {
      if (absl::StartsWith(other, name)) return true;
    }
    return absl::StartsWith(name, "TRAINYARD_");
  };
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!replaced(*variable)) result.emplace_back(*variable);
  }
  return result;
}

}  // namespace trainyard::agent
