// What the end of a runner means: from its last event, its exit status and what
// was asked of it to an outcome and its cause. Pure.
//
//   Verdict verdict = Judge(terminal, exit, asked);
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "workers/agent/types.h"

namespace trainyard::agent {

// The event with which a runner says how it ends.
struct TerminalEvent {
  enum class Kind { kFinished, kStopped, kFailed };
  Kind kind = Kind::kFailed;
  std::vector<std::string> outputs;  // kFinished: names below output/
  FailureCategory category = FailureCategory::kCrash;  // kFailed
  std::string message;                                 // kFailed
};

// What the agent had asked of the runner by then.
struct Asked {
  bool preempt = false;
  bool cancel = false;
  bool signalled = false;  // SIGTERM or SIGKILL was sent
};

struct Verdict {
  Outcome outcome = Outcome::kNone;
  std::optional<Failure> failure;  // with kFailed
  std::string remark;              // for the attempt's log; empty: none
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

// How an attempt ended whose process is gone.
Verdict Judge(const std::optional<TerminalEvent>& terminal,
              const ProcessExit& exit, const Asked& asked);

// "exit status 3", "SIGSEGV (segmentation fault)".
std::string DescribeExit(const ProcessExit& exit);

}  // namespace trainyard::agent
