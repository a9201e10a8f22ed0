#include "workers/agent/core.h"

#include <signal.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace trainyard::agent {
namespace {

constexpr AttemptKey kA{7, 1};
constexpr AttemptKey kB{8, 1};

std::string Name(const AttemptKey& key) {
  return absl::StrCat(key.job, ".", key.attempt);
}

// Effects as text: "prepare 7.1", "signal 15 7.1".
struct Describe {
  std::string operator()(const Prepare& e) {
    return "prepare " + Name(e.attempt.key);
  }
  std::string operator()(const Abort& e) { return "abort " + Name(e.key); }
  std::string operator()(const Spawn& e) { return "spawn " + Name(e.key); }
  std::string operator()(const SendStop& e) { return "stop " + Name(e.key); }
  std::string operator()(const SendSignal& e) {
    return absl::StrCat(e.signal == SIGKILL ? "kill " : "term ", Name(e.key));
  }
  std::string operator()(const UploadCheckpoint& e) {
    return absl::StrCat("checkpoint@", e.step, " ", Name(e.key));
  }
  std::string operator()(const UploadOutputs& e) {
    return absl::StrCat("outputs[", absl::StrJoin(e.names, " "), "] ",
                        Name(e.key));
  }
  std::string operator()(const FlushTelemetry& e) {
    return "flush " + Name(e.key);
  }
  std::string operator()(const Remark& e) { return "remark " + Name(e.key); }
  std::string operator()(const Release& e) { return "release " + Name(e.key); }
  std::string operator()(const Exit&) { return "exit"; }
};

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return "";
    case Outcome::kSucceeded:
      return " SUCCEEDED";
    case Outcome::kFailed:
      return " FAILED";
    case Outcome::kCancelled:
      return " CANCELLED";
    case Outcome::kPreempted:
      return " PREEMPTED";
  }
  return "";
}

// A core whose server and runners the test plays.
class Player {
 public:
  explicit Player(CoreOptions options = {}) : core_(options) {
    Do(StreamOpened{1});
  }

  // What the core wants, as text.
  std::string Do(const Event& event) {
    return absl::StrJoin(core_.Handle(now_, event), ", ",
                         [](std::string* out, const Effect& e) {
                           out->append(std::visit(Describe{}, e));
                         });
  }
  std::string After(absl::Duration pause) {
    now_ += pause;
    return Do(Tick{});
  }
  std::string Want(std::vector<DesiredAttempt> attempts) {
    return Do(DesiredReceived{1, ++sequence_, std::move(attempts)});
  }
  std::string Exit(const AttemptKey& key, int code, int signal = 0) {
    return Do(
        RunnerExited{.key = key, .exit = {.code = code, .signal = signal}});
  }
  // Attempt `key` up to RUNNING.
  void Run(const AttemptKey& key) {
    Want({Wanted(key)});
    Do(Prepared{key});
    Do(RunnerStarted{key});
  }

  static DesiredAttempt Wanted(const AttemptKey& key,
                               Action action = Action::kRun) {
    return {.key = key, .action = action, .spec = "spec", .devices = {"cpu"}};
  }

  // "7.1 RUNNING, 8.1 ENDED FAILED".
  std::string State() const {
    return absl::StrJoin(core_.snapshot().attempts, ", ",
                         [](std::string* out, const AttemptStatus& status) {
                           static constexpr const char* kPhases[] = {
                               "PREPARING", "RUNNING", "STOPPING", "ENDED"};
                           absl::StrAppend(
                               out, Name(status.key), " ",
                               kPhases[static_cast<int>(status.phase)],
                               OutcomeName(status.outcome));
                         });
  }
  AttemptStatus Status(size_t i = 0) const {
    return core_.snapshot().attempts.at(i);
  }
  Snapshot snapshot() const { return core_.snapshot(); }
  std::vector<KeptAttempt> Kept() const { return core_.Kept(); }
  absl::Duration UntilNext() const { return core_.NextDeadline() - now_; }
  bool done() const { return core_.done(); }
  bool left_idle() const { return core_.left_idle(); }
  absl::Time now() const { return now_; }

 private:
  Core core_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  uint64_t sequence_ = 0;
};

TerminalEvent Finished(std::vector<std::string> outputs = {"model"}) {
  return {.kind = TerminalEvent::Kind::kFinished,
          .outputs = std::move(outputs)};
}
TerminalEvent Stopped() { return {.kind = TerminalEvent::Kind::kStopped}; }
TerminalEvent Failed(FailureCategory category) {
  return {.kind = TerminalEvent::Kind::kFailed,
          .category = category,
          .message = "no such column"};
}

TEST(CoreTest, RunsAnAttemptFromItsListingToItsEnd) {
  Player p;
  EXPECT_EQ(p.Want({p.Wanted(kA)}), "prepare 7.1");
  EXPECT_EQ(p.State(), "7.1 PREPARING");
  EXPECT_EQ(p.snapshot().applied_sequence, 1u);
  EXPECT_EQ(p.Do(Prepared{kA}), "spawn 7.1");
  EXPECT_EQ(p.State(), "7.1 PREPARING");
  EXPECT_EQ(p.Do(RunnerStarted{kA}), "");
  EXPECT_EQ(p.State(), "7.1 RUNNING");
  EXPECT_EQ(p.Do(RunnerReported{kA, Finished()}), "");
  EXPECT_EQ(p.Exit(kA, 0), "outputs[model] 7.1");
  EXPECT_EQ(p.State(), "7.1 RUNNING");
  const std::vector<Output> outputs = {{"model", "sha256:x", 3}};
  EXPECT_EQ(p.Do(OutputsUploaded{kA, outputs}), "flush 7.1");
  EXPECT_EQ(p.State(), "7.1 RUNNING");
  EXPECT_EQ(p.Do(TelemetryFlushed{kA}), "");
  EXPECT_EQ(p.State(), "7.1 ENDED SUCCEEDED");
  EXPECT_EQ(p.Status().outputs, outputs);
  EXPECT_EQ(p.Want({}), "release 7.1");
  EXPECT_EQ(p.State(), "");
  EXPECT_EQ(p.Do(Released{kA}), "");
  EXPECT_EQ(p.UntilNext(), absl::InfiniteDuration());
}

TEST(CoreTest, KeepsAnEndedAttemptUntilItIsNoLongerListed) {
  Player p;
  p.Run(kA);
  p.Exit(kA, 1);
  p.Do(TelemetryFlushed{kA});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(p.Want({p.Wanted(kA)}), "");
    EXPECT_EQ(p.State(), "7.1 ENDED FAILED");
  }
}

TEST(CoreTest, EndsWhatIsNotListedWithoutAReport) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Want({}), "term 7.1");
  EXPECT_EQ(p.State(), "7.1 STOPPING");
  EXPECT_EQ(p.After(absl::Seconds(10)), "kill 7.1");
  EXPECT_EQ(p.Exit(kA, 0, SIGKILL), "release 7.1");
  EXPECT_EQ(p.State(), "");
}

TEST(CoreTest, EndsWhatIsNotListedWhileItPrepares) {
  Player p;
  p.Want({p.Wanted(kA)});
  EXPECT_EQ(p.Want({}), "abort 7.1");
  EXPECT_EQ(p.Do(Prepared{kA, Failure{}}), "release 7.1");
}

TEST(CoreTest, StartsAgainWhatIsListedAgainOnceTheOldOneIsGone) {
  Player p;
  p.Run(kA);
  p.Want({});
  EXPECT_EQ(p.Want({p.Wanted(kA)}), "");
  EXPECT_EQ(p.Exit(kA, 0, SIGTERM), "release 7.1");
  EXPECT_EQ(p.Do(Released{kA}), "prepare 7.1");
}

TEST(CoreTest, CancelledIsToldOnlyOnceTheProcessIsGone) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kCancel)}), "term 7.1");
  EXPECT_EQ(p.State(), "7.1 STOPPING");
  EXPECT_EQ(p.After(absl::Seconds(9)), "");
  EXPECT_EQ(p.After(absl::Seconds(1)), "kill 7.1");
  EXPECT_EQ(p.State(), "7.1 STOPPING");
  EXPECT_EQ(p.After(absl::Seconds(10)), "kill 7.1");  // again: it still lives
  EXPECT_EQ(p.Exit(kA, 0, SIGKILL), "flush 7.1");
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED CANCELLED");
}

TEST(CoreTest, PreemptionAsksForACheckpointAndStoresItFirst) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kPreempt)}), "stop 7.1");
  EXPECT_EQ(p.Do(CheckpointWritten{kA, 40, "/c"}), "checkpoint@40 7.1");
  EXPECT_EQ(p.Do(RunnerReported{kA, Stopped()}), "");
  EXPECT_EQ(p.Exit(kA, 0), "");  // the upload is not through
  EXPECT_EQ(p.State(), "7.1 STOPPING");
  const Checkpoint stored{40, "sha256:c", 9};
  EXPECT_EQ(p.Do(CheckpointUploaded{kA, 1, stored}), "flush 7.1");
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED PREEMPTED");
  EXPECT_EQ(p.Status().checkpoint, stored);
}

TEST(CoreTest, PreemptionEscalatesWhenTheRunnerDoesNotAnswer) {
  Player p;
  p.Run(kA);
  p.Want({p.Wanted(kA, Action::kPreempt)});
  EXPECT_EQ(p.UntilNext(), absl::Seconds(30));
  EXPECT_EQ(p.After(absl::Seconds(30)), "term 7.1");
  EXPECT_EQ(p.After(absl::Seconds(10)), "kill 7.1");
  EXPECT_EQ(p.Exit(kA, 0, SIGKILL), "remark 7.1, flush 7.1");
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED PREEMPTED");
}

TEST(CoreTest, CancelOverridesPreemption) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kPreempt)}), "stop 7.1");
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kCancel)}), "term 7.1");
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kPreempt)}), "");
  p.Exit(kA, 0, SIGTERM);
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED CANCELLED");
}

TEST(CoreTest, WorkThatFinishesInsteadOfStoppingHasSucceeded) {
  Player p;
  p.Run(kA);
  p.Want({p.Wanted(kA, Action::kPreempt)});
  p.Do(RunnerReported{kA, Finished({})});
  EXPECT_EQ(p.Exit(kA, 0), "outputs[] 7.1");
  p.Do(OutputsUploaded{kA});
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED SUCCEEDED");
}

TEST(CoreTest, CancelGivesUpTheUploadOfOutputs) {
  Player p;
  p.Run(kA);
  p.Do(RunnerReported{kA, Finished()});
  p.Exit(kA, 0);
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kCancel)}), "abort 7.1, flush 7.1");
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED CANCELLED");
  EXPECT_TRUE(p.Status().outputs.empty());
}

TEST(CoreTest, OutputsThatCannotBeStoredFailTheAttempt) {
  Player p;
  p.Run(kA);
  p.Do(RunnerReported{kA, Finished()});
  p.Exit(kA, 0);
  const Failure full{.category = FailureCategory::kInfrastructure,
                     .message = "the store is full"};
  p.Do(OutputsUploaded{kA, {}, full});
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED FAILED");
  EXPECT_EQ(p.Status().failure, full);
}

TEST(CoreTest, ACrashKeepsTheNewestCheckpoint) {
  Player p;
  p.Run(kA);
  p.Do(CheckpointWritten{kA, 10, "/c1"});
  p.Do(CheckpointWritten{kA, 20, "/c2"});  // takes the place of the first
  EXPECT_EQ(p.Exit(kA, 0, SIGSEGV), "");
  EXPECT_EQ(p.Do(CheckpointUploaded{kA, 2, Checkpoint{20, "sha256:b", 1}}),
            "flush 7.1");
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED FAILED");
  EXPECT_EQ(p.Status().checkpoint->step, 20u);
  EXPECT_EQ(p.Status().failure->exit_code, -SIGSEGV);
}

TEST(CoreTest, ACheckpointThatCannotBeStoredDoesNotHoldUpTheEnd) {
  Player p;
  p.Run(kA);
  p.Do(CheckpointWritten{kA, 10, "/c"});
  p.Exit(kA, 1);
  EXPECT_EQ(p.Do(CheckpointUploaded{kA, 1, std::nullopt}), "flush 7.1");
}

TEST(CoreTest, AnOlderCheckpointDoesNotReplaceANewerOne) {
  Player p;
  p.Run(kA);
  p.Do(CheckpointWritten{kA, 10, "/c1"});
  p.Do(CheckpointWritten{kA, 20, "/c2"});
  p.Do(CheckpointUploaded{kA, 2, Checkpoint{20, "sha256:b", 1}});
  p.Do(CheckpointUploaded{kA, 1, Checkpoint{10, "sha256:a", 1}});
  EXPECT_EQ(p.Status().checkpoint->step, 20u);
}

TEST(CoreTest, InputsThatAreMissingFailTheAttemptBeforeItRuns) {
  Player p;
  p.Want({p.Wanted(kA)});
  const Failure missing{.category = FailureCategory::kUserError,
                        .message = "no such folder"};
  EXPECT_EQ(p.Do(Prepared{kA, missing}), "flush 7.1");
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED FAILED");
  EXPECT_EQ(p.Status().failure, missing);
}

TEST(CoreTest, ARunnerThatCannotBeStartedFailsTheAttempt) {
  Player p;
  p.Want({p.Wanted(kA)});
  p.Do(Prepared{kA});
  const Failure cause{.category = FailureCategory::kInfrastructure,
                      .message = "no such program"};
  p.Do(RunnerExited{kA, {}, cause});
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED FAILED");
  EXPECT_EQ(p.Status().failure, cause);
}

TEST(CoreTest, ARunnerThatDoesNotExitAfterItsLastEventIsEnded) {
  Player p;
  p.Run(kA);
  p.Do(RunnerReported{kA, Finished()});
  EXPECT_EQ(p.After(absl::Seconds(10)), "term 7.1");
  EXPECT_EQ(p.After(absl::Seconds(10)), "kill 7.1");
  EXPECT_EQ(p.Exit(kA, 0, SIGKILL), "remark 7.1, outputs[model] 7.1");
}

TEST(CoreTest, TheEndIsToldWithoutTelemetryThatIsNotAcknowledged) {
  Player p;
  p.Run(kA);
  p.Do(RunnerReported{kA, Failed(FailureCategory::kUserError)});
  EXPECT_EQ(p.Exit(kA, 1), "flush 7.1");
  EXPECT_EQ(p.UntilNext(), absl::Seconds(3));
  EXPECT_EQ(p.State(), "7.1 RUNNING");
  p.After(absl::Seconds(3));
  EXPECT_EQ(p.State(), "7.1 ENDED FAILED");
  EXPECT_EQ(p.Status().failure->category, FailureCategory::kUserError);
}

TEST(CoreTest, WaitsForDevicesWhoseAttemptStillStops) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Want({p.Wanted(kB)}), "term 7.1, prepare 8.1");
  EXPECT_EQ(p.Do(Prepared{kB}), "");
  EXPECT_EQ(p.Exit(kA, 0, SIGTERM), "release 7.1, spawn 8.1");
}

TEST(CoreTest, SharesADeviceThatTheServerGivesToTwo) {
  Player p;
  p.Run(kA);
  p.Want({p.Wanted(kA), p.Wanted(kB)});
  EXPECT_EQ(p.Do(Prepared{kB}), "spawn 8.1");
}

TEST(CoreTest, DoesNotStartWithoutASpec) {
  Player p;
  DesiredAttempt bare = p.Wanted(kA);
  bare.spec.clear();
  EXPECT_EQ(p.Want({bare}), "");
  EXPECT_EQ(p.State(), "");
  EXPECT_EQ(p.Want({p.Wanted(kA)}), "prepare 7.1");
}

TEST(CoreTest, WhatItNeverHeldIsCancelledAtOnce) {
  Player p;
  EXPECT_EQ(p.Want({p.Wanted(kA, Action::kCancel)}), "");
  EXPECT_EQ(p.State(), "7.1 ENDED CANCELLED");
  EXPECT_EQ(p.Want({}), "release 7.1");
}

TEST(CoreTest, IgnoresWordOfAStreamThatBroke) {
  Player p;
  p.Run(kA);
  p.Do(StreamOpened{2});
  EXPECT_EQ(p.snapshot().applied_sequence, 0u);
  EXPECT_EQ(p.Want({}), "");  // of stream 1
  EXPECT_EQ(p.State(), "7.1 RUNNING");
  EXPECT_EQ(p.Do(DesiredReceived{2, 1, {p.Wanted(kA)}}), "");
  EXPECT_EQ(p.snapshot().applied_sequence, 1u);
}

TEST(CoreTest, LosingTheServerStopsNothing) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Do(StreamOpened{2}), "");
  EXPECT_EQ(p.After(absl::Hours(100)), "");
  EXPECT_EQ(p.State(), "7.1 RUNNING");
}

TEST(CoreTest, ACheckpointThatCouldNotBeHandedOverIsKeptAndHandedOverLater) {
  Player p;
  p.Run(kA);
  p.Do(CheckpointWritten{kA, 20, "/c1"});
  p.Do(CheckpointUploaded{kA, 1, Checkpoint{20, "sha256:a", 1}});
  EXPECT_EQ(p.Do(LeaveRequested{}), "stop 7.1");
  EXPECT_EQ(p.Do(CheckpointWritten{kA, 40, "/c2"}), "checkpoint@40 7.1");
  p.Do(RunnerReported{kA, Stopped()});
  p.Exit(kA, 0);
  EXPECT_EQ(p.After(absl::Seconds(10)), "exit");  // the server is away
  const KeptAttempt kept{.key = kA,
                         .outcome = Outcome::kPreempted,
                         .checkpoint = Checkpoint{20, "sha256:a", 1},
                         .unsent = LocalCheckpoint{40, "/c2"}};
  ASSERT_EQ(p.Kept(), std::vector<KeptAttempt>{kept});

  Player next;
  EXPECT_EQ(next.Do(Adopted{{kept}}), "checkpoint@40 7.1");
  EXPECT_EQ(next.State(), "7.1 STOPPING");
  EXPECT_TRUE(next.snapshot().leaving);
  EXPECT_EQ(next.Status().checkpoint->step, 20u);
  EXPECT_EQ(next.After(absl::Hours(1)), "");  // it waits for the server
  EXPECT_EQ(next.Want({next.Wanted(kA), next.Wanted(kB)}), "");
  EXPECT_EQ(next.State(), "7.1 STOPPING, 8.1 ENDED PREEMPTED");  // none new
  EXPECT_EQ(next.Want({next.Wanted(kA)}), "release 8.1");
  next.Do(Released{kB});
  EXPECT_EQ(next.Do(CheckpointUploaded{kA, 1, Checkpoint{40, "sha256:b", 1}}),
            "flush 7.1");
  next.Do(TelemetryFlushed{kA});
  EXPECT_EQ(next.State(), "7.1 ENDED PREEMPTED");
  EXPECT_EQ(next.Status().checkpoint->step, 40u);
  EXPECT_EQ(next.Want({}), "release 7.1");
  EXPECT_EQ(next.Do(Released{kA}), "exit");
  EXPECT_TRUE(next.Kept().empty());
}

TEST(CoreTest, OutputsThatCouldNotBeHandedOverAreKeptAndHandedOverLater) {
  Player p;
  p.Run(kA);
  p.Do(RunnerReported{kA, Finished({"model", "report"})});
  EXPECT_EQ(p.Exit(kA, 0), "outputs[model report] 7.1");
  p.Do(LeaveRequested{});
  EXPECT_EQ(p.Do(LeaveRequested{}), "abort 7.1, exit");
  const KeptAttempt kept{.key = kA,
                         .outcome = Outcome::kSucceeded,
                         .unsent_outputs = {"model", "report"}};
  ASSERT_EQ(p.Kept(), std::vector<KeptAttempt>{kept});
  p.Do(OutputsUploaded{kA, {}, Failure{}});  // given up
  ASSERT_EQ(p.Kept(), std::vector<KeptAttempt>{kept});

  Player next;
  EXPECT_EQ(next.Do(Adopted{{kept}}), "outputs[model report] 7.1");
  EXPECT_EQ(next.Do(OutputsUploaded{kA, {{"model", "sha256:x", 3}}}),
            "flush 7.1");
  next.Do(TelemetryFlushed{kA});
  EXPECT_EQ(next.State(), "7.1 ENDED SUCCEEDED");
  EXPECT_EQ(next.Status().outputs[0].name, "model");
  // Stored, but not told: told again.
  ASSERT_EQ(next.Kept().size(), 1u);
  EXPECT_EQ(next.Kept()[0].outputs.size(), 1u);
  EXPECT_TRUE(next.Kept()[0].unsent_outputs.empty());
}

TEST(CoreTest, WhatTheServerGaveUpMeanwhileIsDropped) {
  Player p;
  EXPECT_EQ(p.Do(Adopted{{{.key = kA, .unsent = LocalCheckpoint{4, "/c"}}}}),
            "checkpoint@4 7.1");
  EXPECT_EQ(p.Want({}), "abort 7.1, release 7.1");
  EXPECT_TRUE(p.Kept().empty());
  EXPECT_EQ(p.Do(Released{kA}), "exit");
}

TEST(CoreTest, AskedToLeaveItKeepsWhatItAdopted) {
  Player p;
  const KeptAttempt kept{.key = kA, .unsent = LocalCheckpoint{4, "/c"}};
  p.Do(Adopted{{kept}});
  EXPECT_EQ(p.Do(LeaveRequested{}), "");
  EXPECT_EQ(p.After(absl::Seconds(10)), "exit");
  EXPECT_EQ(p.Kept(), std::vector<KeptAttempt>{kept});
}

TEST(CoreTest, HoldsNoMoreThanItsLimit) {
  Player p(CoreOptions{.max_attempts = 1});
  EXPECT_EQ(p.Want({p.Wanted(kA), p.Wanted(kB)}), "prepare 7.1");
}

TEST(CoreTest, NewsOfUnknownAttemptsIsIgnored) {
  Player p;
  EXPECT_EQ(p.Do(Prepared{kA}), "");
  EXPECT_EQ(p.Do(RunnerStarted{kA}), "");
  EXPECT_EQ(p.Do(CheckpointWritten{kA, 1, "/c"}), "");
  EXPECT_EQ(p.Do(RunnerReported{kA, Finished()}), "");
  EXPECT_EQ(p.Exit(kA, 0), "");
  EXPECT_EQ(p.Do(CheckpointUploaded{kA, 1, std::nullopt}), "");
  EXPECT_EQ(p.Do(OutputsUploaded{kA}), "");
  EXPECT_EQ(p.Do(TelemetryFlushed{kA}), "");
  EXPECT_EQ(p.Do(Released{kA}), "");
  EXPECT_EQ(p.State(), "");
}

TEST(CoreTest, LeavesAtOnceWithNothingToDo) {
  Player p;
  EXPECT_EQ(p.Do(LeaveRequested{}), "exit");
  EXPECT_TRUE(p.done());
  EXPECT_TRUE(p.snapshot().leaving);
}

TEST(CoreTest, HandsItsAttemptsBackBeforeItLeaves) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Do(LeaveRequested{}), "stop 7.1");
  EXPECT_EQ(p.Want({p.Wanted(kA), p.Wanted(kB)}), "");
  EXPECT_EQ(p.State(), "7.1 STOPPING, 8.1 ENDED PREEMPTED");
  p.Do(CheckpointWritten{kA, 5, "/c"});
  p.Do(RunnerReported{kA, Stopped()});
  p.Exit(kA, 0);
  p.Do(CheckpointUploaded{kA, 1, Checkpoint{5, "sha256:c", 1}});
  p.Do(TelemetryFlushed{kA});
  EXPECT_EQ(p.State(), "7.1 ENDED PREEMPTED, 8.1 ENDED PREEMPTED");
  EXPECT_EQ(p.Want({}), "release 7.1, release 8.1");
  EXPECT_EQ(p.Do(Released{kA}), "");
  EXPECT_EQ(p.Do(Released{kB}), "exit");
}

TEST(CoreTest, LeavesWithoutTheServerAfterAWhile) {
  Player p;
  p.Run(kA);
  p.Do(LeaveRequested{});
  p.Do(CheckpointWritten{kA, 5, "/c"});
  p.Do(RunnerReported{kA, Stopped()});
  p.Exit(kA, 0);
  EXPECT_EQ(p.After(absl::Seconds(9)), "");
  EXPECT_EQ(p.After(absl::Seconds(1)), "exit");
}

TEST(CoreTest, ASecondRequestToLeaveIsFaster) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Do(LeaveRequested{}), "stop 7.1");
  EXPECT_EQ(p.Do(LeaveRequested{}), "term 7.1");
  EXPECT_EQ(p.After(absl::Seconds(2)), "kill 7.1");
  EXPECT_EQ(p.Exit(kA, 0, SIGKILL), "remark 7.1, flush 7.1, exit");
}

TEST(CoreTest, LeavesNoLaterThanItWasTold) {
  Player p;
  p.Run(kA);
  EXPECT_EQ(p.Do(LeaveRequested{p.now() + absl::Seconds(20)}), "stop 7.1");
  EXPECT_EQ(p.UntilNext(), absl::Seconds(20));
  EXPECT_EQ(p.After(absl::Seconds(20)), "exit");
}

TEST(CoreTest, LeavesOnceItWasIdleForLong) {
  Player p({.idle_limit = absl::Minutes(15)});
  EXPECT_EQ(p.UntilNext(), absl::Minutes(15));
  EXPECT_EQ(p.After(absl::Minutes(14)), "");
  // An attempt, however short, begins the wait anew.
  p.Want({p.Wanted(kA, Action::kCancel)});
  EXPECT_EQ(p.UntilNext(), absl::InfiniteDuration());
  EXPECT_EQ(p.After(absl::Hours(1)), "");
  EXPECT_EQ(p.Want({}), "release 7.1");
  EXPECT_EQ(p.Do(Released{kA}), "");
  EXPECT_EQ(p.After(absl::Minutes(14)), "");
  EXPECT_FALSE(p.left_idle());
  EXPECT_EQ(p.After(absl::Minutes(1)), "exit");
  EXPECT_TRUE(p.left_idle());
}

TEST(CoreTest, LeavingOnRequestIsNotIdleness) {
  Player p({.idle_limit = absl::Minutes(15)});
  EXPECT_EQ(p.Do(LeaveRequested{}), "exit");
  EXPECT_FALSE(p.left_idle());
}

TEST(CoreTest, NeverLeavesByItselfWithoutALimit) {
  Player p;
  EXPECT_EQ(p.UntilNext(), absl::InfiniteDuration());
  EXPECT_EQ(p.After(absl::Hours(1000)), "");
}

}  // namespace
}  // namespace trainyard::agent
