#include "workers/agent/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/testing/temp_dir.h"

namespace trainyard::agent {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(20);

// Runs the fake runner in a mode and keeps what the supervisor tells.
class Watch {
 public:
  explicit Watch(const std::string& mode,
                 const std::string& program = FAKE_RUNNER,
                 std::vector<std::string> extra = {}) {
    SupervisorCallbacks callbacks;
    callbacks.on_start = [this](pid_t pid) {
      absl::MutexLock lock(&mutex_);
      pid_ = pid;
    };
    callbacks.on_event = [this](RunnerEvent event) {
      absl::MutexLock lock(&mutex_);
      events_.push_back(std::move(event));
    };
    callbacks.on_line = [this](v1::LogLine::Stream stream, std::string text) {
      absl::MutexLock lock(&mutex_);
      lines_[stream].push_back(std::move(text));
    };
    callbacks.on_exit = [this](absl::Status status, ProcessExit exit) {
      absl::MutexLock lock(&mutex_);
      EXPECT_FALSE(ended_) << "on_exit came twice";
      status_ = std::move(status);
      exit_ = std::move(exit);
      ended_ = true;
    };
    supervisor_ = std::make_unique<Supervisor>(
        ProcessSpec{.argv = {program, mode},
                    .environment = RunnerEnvironment(extra),
                    .directory = dir_.path()},
        std::move(callbacks));
  }
  ~Watch() { supervisor_.reset(); }

  Supervisor& supervisor() { return *supervisor_; }
  const TempDir& dir() const { return dir_; }

  ProcessExit AwaitExit() {
    absl::MutexLock lock(&mutex_);
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&ended_), kPatience));
    return exit_;
  }
  void AwaitEvents(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&] { return events_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
  }
  std::vector<RunnerEvent> events() {
    absl::MutexLock lock(&mutex_);
    return events_;
  }
  std::vector<std::string> lines(v1::LogLine::Stream stream) {
    absl::MutexLock lock(&mutex_);
    return lines_[stream];
  }
  absl::Status status() {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  pid_t pid() {
    absl::MutexLock lock(&mutex_);
    return pid_;
  }

 private:
  TempDir dir_;
  absl::Mutex mutex_;
  std::vector<RunnerEvent> events_;
  std::map<v1::LogLine::Stream, std::vector<std::string>> lines_;
  absl::Status status_;
  ProcessExit exit_;
  bool ended_ = false;
  pid_t pid_ = 0;
  std::unique_ptr<Supervisor> supervisor_;
};

bool IsAlive(pid_t pid) { return kill(pid, 0) == 0; }

TEST(SupervisorTest, PassesOnEventsLinesAndTheEnd) {
  Watch watch("succeed");
  const ProcessExit exit = watch.AwaitExit();
  EXPECT_EQ(exit.code, 0);
  EXPECT_EQ(exit.signal, 0);
  const std::vector<RunnerEvent> events = watch.events();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_TRUE(std::holds_alternative<StartedEvent>(events[0]));
  EXPECT_EQ(std::get<v1::MetricPoint>(events[3]).step(), 3u);
  EXPECT_EQ(std::get<CheckpointEvent>(events[4]).step, 3u);
  EXPECT_THAT(std::get<TerminalEvent>(events[5]).outputs,
              ElementsAre("model.safetensors", "report.json"));
  EXPECT_THAT(watch.lines(v1::LogLine::STREAM_STDOUT),
              ElementsAre("hello from the runner"));
}

TEST(SupervisorTest, SendsCommands) {
  Watch watch("train");
  watch.AwaitEvents(2);
  watch.supervisor().SendCommand(R"({"command":"stop"})");
  EXPECT_EQ(watch.AwaitExit().code, 0);
  const std::vector<RunnerEvent> events = watch.events();
  EXPECT_EQ(std::get<TerminalEvent>(events.back()).kind,
            TerminalEvent::Kind::kStopped);
}

TEST(SupervisorTest, TellsTheSignalAndTheLastWords) {
  Watch watch("crash");
  watch.AwaitEvents(2);
  watch.supervisor().SendCommand(R"({"command":"die"})");
  const ProcessExit exit = watch.AwaitExit();
  EXPECT_EQ(exit.signal, SIGABRT);
  EXPECT_THAT(exit.stderr_tail, HasSubstr("something terrible happened"));
  EXPECT_FALSE(exit.out_of_memory);
}

TEST(SupervisorTest, SignalsReachTheRunner) {
  Watch polite("polite");
  polite.AwaitEvents(1);
  polite.supervisor().Signal(SIGTERM);
  EXPECT_EQ(polite.AwaitExit().signal, SIGTERM);

  Watch stubborn("stubborn");
  stubborn.AwaitEvents(1);
  stubborn.supervisor().Signal(SIGTERM);
  stubborn.supervisor().Signal(SIGKILL);
  const ProcessExit exit = stubborn.AwaitExit();
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_FALSE(exit.out_of_memory);
}

TEST(SupervisorTest, ASignalSentBeforeTheStartIsNotLost) {
  Watch watch("polite");
  watch.supervisor().Signal(SIGTERM);
  EXPECT_EQ(watch.AwaitExit().signal, SIGTERM);
}

TEST(SupervisorTest, SplitsLongLinesAndReplacesInvalidText) {
  Watch watch("talk");
  const ProcessExit exit = watch.AwaitExit();
  EXPECT_EQ(exit.code, 3);
  EXPECT_THAT(watch.lines(v1::LogLine::STREAM_STDOUT),
              ElementsAre(std::string(8192, 'x'), std::string(8192, 'x'),
                          std::string(20000 - 2 * 8192, 'x'),
                          "caf\xc3\xa9 \xEF\xBF\xBD", "no newline"));
  EXPECT_EQ(watch.lines(v1::LogLine::STREAM_STDERR).size(), 4000u);
  EXPECT_LE(exit.stderr_tail.size(), 16u * 1024);
  EXPECT_GT(exit.stderr_tail.size(), 15u * 1024);
  EXPECT_THAT(exit.stderr_tail, HasSubstr("line 3999"));
}

TEST(SupervisorTest, IgnoresEventsItCannotRead) {
  Watch watch("babble");
  watch.AwaitExit();
  EXPECT_EQ(watch.events().size(), 1u);  // finished
  EXPECT_THAT(
      watch.lines(v1::LogLine::STREAM_WORKER),
      ElementsAre(HasSubstr("JSON object"), HasSubstr("JSON object"),
                  HasSubstr("\"loss\": must be"), HasSubstr("\"dance\""),
                  HasSubstr("1 events over 65536 bytes")));
}

TEST(SupervisorTest, GivesTheRunnerOnlyWhatIsItsOwn) {
  setenv("TRAINYARD_SECRET", "token", 1);
  setenv("TRAINYARD_JOB", "stale", 1);
  const int leak = dup(2);  // without FD_CLOEXEC
  Watch watch("show", FAKE_RUNNER,
              {"TRAINYARD_JOB=7", "CUDA_VISIBLE_DEVICES="});
  watch.AwaitExit();
  close(leak);
  EXPECT_THAT(
      watch.lines(v1::LogLine::STREAM_STDOUT),
      ::testing::UnorderedElementsAre(
          absl::StrCat("directory ", watch.dir().path()), "leads its group 1",
          "fd 0", "fd 1", "fd 2", "fd 3", "fd 4", "TRAINYARD_SECRET=(unset)",
          "TRAINYARD_JOB=7", "CUDA_VISIBLE_DEVICES="));
}

TEST(SupervisorTest, EndsWhatTheRunnerLeavesBehind) {
  Watch watch("orphan");
  EXPECT_EQ(watch.AwaitExit().code, 0);
  const std::vector<std::string> lines =
      watch.lines(v1::LogLine::STREAM_STDOUT);
  ASSERT_EQ(lines.size(), 1u);
  pid_t child = 0;
  ASSERT_TRUE(absl::SimpleAtoi(lines[0].substr(6), &child));
  // Its pipes are at their end, so it is gone or about to be.
  const absl::Time until = absl::Now() + kPatience;
  while (kill(-watch.pid(), 0) == 0 && absl::Now() < until) sched_yield();
  EXPECT_FALSE(kill(-watch.pid(), 0) == 0);
}

TEST(SupervisorTest, SaysWhyARunnerCannotStart) {
  Watch missing("x", "/no/such/runner");
  missing.AwaitExit();
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("/no/such/runner: No such file"));

  Watch folder("x", "/tmp");
  folder.AwaitExit();
  EXPECT_EQ(folder.status().code(), absl::StatusCode::kPermissionDenied);
}

TEST(SupervisorTest, ItsEndIsTheRunnersEnd) {
  pid_t pid = 0;
  {
    Watch watch("stubborn");
    watch.AwaitEvents(1);
    pid = watch.pid();
    EXPECT_TRUE(IsAlive(pid));
  }
  EXPECT_FALSE(IsAlive(pid));
}

}  // namespace
}  // namespace trainyard::agent
