#include "workers/agent/outcome.h"

#include <signal.h>

#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::agent {
namespace {

using Kind = TerminalEvent::Kind;
using ::testing::HasSubstr;

const TerminalEvent kFinished{.kind = Kind::kFinished};
const TerminalEvent kStopped{.kind = Kind::kStopped};
const TerminalEvent kUserError{.kind = Kind::kFailed,
                               .category = FailureCategory::kUserError,
                               .message = "epochs: too many"};

struct Case {
  const char* name;
  std::optional<TerminalEvent> last;
  ProcessExit exit;
  Asked asked;
  Outcome outcome;
  std::optional<FailureCategory> category;
  std::string message;
  int exit_code = 0;
};

const Case kCases[] = {
    {"finished", kFinished, {.code = 0}, {}, Outcome::kSucceeded},
    {"finished, then a crash while it unloads",
     kFinished,
     {.signal = SIGSEGV},
     {},
     Outcome::kSucceeded},
    {"its own word on why it failed",
     kUserError,
     {.code = 1},
     {},
     Outcome::kFailed,
     FailureCategory::kUserError,
     "epochs: too many",
     1},
    {"exit without a word",
     std::nullopt,
     {.code = 3},
     {},
     Outcome::kFailed,
     FailureCategory::kCrash,
     "exit status 3",
     3},
    {"exit with 0 without a word",
     std::nullopt,
     {.code = 0},
     {},
     Outcome::kFailed,
     FailureCategory::kCrash,
     "without saying why",
     0},
    {"a signal",
     std::nullopt,
     {.signal = SIGSEGV},
     {},
     Outcome::kFailed,
     FailureCategory::kCrash,
     "SIGSEGV",
     -SIGSEGV},
    {"SIGKILL from elsewhere",
     std::nullopt,
     {.signal = SIGKILL},
     {},
     Outcome::kFailed,
     FailureCategory::kCrash,
     "memory ran out",
     -SIGKILL},
    {"SIGKILL while the OOM killer struck",
     std::nullopt,
     {.signal = SIGKILL, .out_of_memory = true},
     {},
     Outcome::kFailed,
     FailureCategory::kOutOfMemory,
     "out of memory",
     -SIGKILL},
    {"cancelled by SIGTERM",
     std::nullopt,
     {.signal = SIGTERM},
     {.cancel = true, .signalled = true},
     Outcome::kCancelled},
    {"cancelled while it failed by itself",
     kUserError,
     {.code = 1},
     {.cancel = true},
     Outcome::kCancelled},
    {"stopped as asked",
     kStopped,
     {.code = 0},
     {.preempt = true},
     Outcome::kPreempted},
    {"stopped, but nobody asked",
     kStopped,
     {.code = 0},
     {},
     Outcome::kFailed,
     FailureCategory::kCrash,
     "without being asked",
     0},
    {"too slow to stop",
     std::nullopt,
     {.signal = SIGKILL},
     {.preempt = true, .signalled = true},
     Outcome::kPreempted},
    {"crashed while it stopped",
     std::nullopt,
     {.signal = SIGBUS},
     {.preempt = true},
     Outcome::kFailed,
     FailureCategory::kCrash,
     "SIGBUS",
     -SIGBUS},
    {"failed while it stopped",
     kUserError,
     {.code = 1},
     {.preempt = true},
     Outcome::kFailed,
     FailureCategory::kUserError,
     "epochs",
     1},
    {"finished before it could stop",
     kFinished,
     {.code = 0},
     {.preempt = true},
     Outcome::kSucceeded},
};

TEST(OutcomeTest, JudgesEachEnd) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    ProcessExit exit = c.exit;
    exit.stderr_tail = "last words";
    const Verdict verdict = Judge(c.last, exit, c.asked);
    EXPECT_EQ(verdict.outcome, c.outcome);
    ASSERT_EQ(verdict.failure.has_value(), c.category.has_value());
    if (!verdict.failure) continue;
    EXPECT_EQ(verdict.failure->category, *c.category);
    EXPECT_THAT(verdict.failure->message, HasSubstr(c.message));
    EXPECT_EQ(verdict.failure->stderr_tail, "last words");
    EXPECT_EQ(verdict.failure->exit_code, c.exit_code);
  }
}

}  // namespace
}  // namespace trainyard::agent
