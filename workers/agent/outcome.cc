#include "workers/agent/outcome.h"

#include <signal.h>
#include <string.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::agent {
namespace {

std::string SignalName(int signal) {
  static constexpr std::array<std::pair<int, const char*>, 15> kNames = {
      {{SIGHUP, "SIGHUP"},
       {SIGINT, "SIGINT"},
       {SIGQUIT, "SIGQUIT"},
       {SIGILL, "SIGILL"},
       {SIGTRAP, "SIGTRAP"},
       {SIGABRT, "SIGABRT"},
       {SIGBUS, "SIGBUS"},
       {SIGFPE, "SIGFPE"},
       {SIGKILL, "SIGKILL"},
       {SIGUSR1, "SIGUSR1"},
       {SIGSEGV, "SIGSEGV"},
       {SIGPIPE, "SIGPIPE"},
       {SIGTERM, "SIGTERM"},
       {SIGXCPU, "SIGXCPU"},
       {SIGXFSZ, "SIGXFSZ"}}};
  for (const auto& [number, name] : kNames) {
    if (number == signal) return name;
  }
  return absl::StrCat("signal ", signal);
}

Failure MakeFailure(FailureCategory category, std::string message,
                    const ProcessExit& exit) {
  return {.category = category,
          .message = std::move(message),
          .stderr_tail = exit.stderr_tail,
          .exit_code = exit.signal != 0 ? -exit.signal : exit.code};
}

Verdict Failed(Failure failure) {
  return {.outcome = Outcome::kFailed, .failure = std::move(failure)};
}

Verdict Crashed(const ProcessExit& exit) {
  if (exit.out_of_memory) {
    return Failed(MakeFailure(
        FailureCategory::kOutOfMemory,
        absl::StrCat("the runner was killed by ", DescribeExit(exit),
                     ": the system ran out of memory"),
        exit));
  }
  std::string message =
      exit.signal != 0
          ? absl::StrCat("the runner was killed by ", DescribeExit(exit))
          : absl::StrCat("the runner ended with ", DescribeExit(exit),
                         " without saying why");
  if (exit.signal == SIGKILL) {
    absl::StrAppend(&message,
                    ", which the worker did not send: someone else did, or "
                    "memory ran out");
  }
  return Failed(MakeFailure(FailureCategory::kCrash, message, exit));
}

}  // namespace

std::string DescribeExit(const ProcessExit& exit) {
  if (exit.signal == 0) return absl::StrCat("exit status ", exit.code);
  return absl::StrCat(SignalName(exit.signal), " (", strsignal(exit.signal),
                      ")");
}

Verdict Judge(const std::optional<TerminalEvent>& terminal,
              const ProcessExit& exit, const Asked& asked) {
  using Kind = TerminalEvent::Kind;
  if (asked.cancel) return {.outcome = Outcome::kCancelled};
  if (terminal && terminal->kind == Kind::kFinished) {
    Verdict verdict{.outcome = Outcome::kSucceeded};
    if (exit.code != 0 || exit.signal != 0) {
      verdict.remark = absl::StrCat(
          "the runner finished its work, then ended with ", DescribeExit(exit));
    }
    return verdict;
  }
  if (terminal && terminal->kind == Kind::kFailed) {
    return Failed(MakeFailure(terminal->category, terminal->message, exit));
  }
  if (asked.preempt && (terminal || asked.signalled)) {
    Verdict verdict{.outcome = Outcome::kPreempted};
    if (!terminal) {
      verdict.remark =
          "the runner did not stop in time and was ended; work since its last "
          "checkpoint is lost";
    }
    return verdict;
  }
  if (terminal) {
    return Failed(MakeFailure(FailureCategory::kCrash,
                              "the runner stopped without being asked to",
                              exit));
  }
  return Crashed(exit);
}

}  // namespace trainyard::agent
