// The whole agent against a server and runners that the test plays.
#include "workers/agent/agent.h"

#include <sys/file.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/devices/cpu.h"
#include "workers/agent/health.h"
#include "workers/agent/testing/fake_server.h"
#include "workers/agent/testing/temp_dir.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using Report = FakeServer::Report;
using Status = v1::AttemptStatus;

// A worker in this process.
class Worker {
 public:
  Worker(const FakeServer& server, const std::string& work_dir,
         const std::string& data_root, const std::string& runner,
         absl::Duration leave_timeout) {
    AgentOptions options{.name = "w1",
                         .instance_id = "i1",
                         .version = "test",
                         .runner = runner,
                         .cache_limit_bytes = 1 << 20,
                         .cores = 2};
    options.backoff = {.first = absl::Milliseconds(2),
                       .longest = absl::Milliseconds(20)};
    options.core.grace = absl::Milliseconds(200);
    options.core.leave_timeout = leave_timeout;
    devices_.push_back(MakeCpuDevice());
    work_dir_ = *WorkDir::Open(work_dir);
    if (work_dir_->kept()) {
      options.instance_id = work_dir_->kept()->instance;
      options.adopted = work_dir_->kept()->attempts;
    }
    agent_ = std::make_unique<Agent>(std::move(options), &*work_dir_,
                                     *DataRoots::Make({data_root}), &devices_,
                                     server.Channel(), RealClock());
    EXPECT_TRUE(agent_->Start().ok());
    thread_ = std::thread([this] { agent_->Run(); });
  }
  ~Worker() {
    if (thread_.joinable()) {
      agent_->RequestLeave();
      agent_->RequestLeave();
      thread_.join();
    }
  }
  void Leave() { agent_->RequestLeave(); }
  void Join() { thread_.join(); }

 private:
  Devices devices_;
  std::optional<WorkDir> work_dir_;
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
};

bool Holds(const Report& report, Status::Phase phase) {
  return report.attempts_size() == 1 && report.attempts(0).phase() == phase;
}

class AgentTest : public ::testing::Test {
 protected:
  AgentTest() {
    fs::create_directory(data_);
    Start();
  }
  void Start(const std::string& runner = FAKE_RUNNER,
             absl::Duration leave_timeout = absl::Seconds(10)) {
    worker_.reset();
    worker_ = std::make_unique<Worker>(server_, dir_ / "state", data_, runner,
                                       leave_timeout);
  }
  v1::DesiredAttempt Training(const std::string& mode) {
    return FakeServer::Training(7, mode, data_);
  }
  v1::DesiredAttempt Training(const std::string& mode,
                              v1::DesiredAttempt::Action action) {
    v1::DesiredAttempt attempt = Training(mode);
    attempt.set_action(action);
    attempt.clear_spec();  // as a server does once the worker reports it
    return attempt;
  }
  // Until the only attempt is in the phase; its status.
  Status Await(Status::Phase phase) {
    EXPECT_TRUE(server_.AwaitReport([&](const Report& report) {
      return Holds(report, phase);
    })) << server_.last_report().DebugString();
    const Report report = server_.last_report();
    return report.attempts_size() == 0 ? Status() : report.attempts(0);
  }
  Status RunToEnd(const std::string& mode) {
    server_.Want({Training(mode)});
    return Await(Status::PHASE_ENDED);
  }
  std::vector<std::string> Lines() {
    std::vector<std::string> lines;
    for (const auto& record : server_.telemetry()) {
      if (record.has_line()) lines.push_back(record.line().text());
    }
    return lines;
  }

  TempDir dir_;
  const std::string data_ = dir_ / "data";
  FakeServer server_;
  std::unique_ptr<Worker> worker_;
};

TEST_F(AgentTest, SaysWhetherItIsConnected) {
  const std::string path = WorkDir::HealthFileIn(dir_ / "state");
  const auto check = [&path] {
    return CheckHealth(path, HealthKind::kReady, absl::Now());
  };
  EXPECT_TRUE(server_.AwaitReport([](const Report& report) {
    return report.applied_sequence() > 0;  // it has heard the server
  }));
  EXPECT_TRUE(check().ok()) << check();
  worker_.reset();
  EXPECT_FALSE(check().ok());  // it left
}

TEST_F(AgentTest, RunsAJobToItsEndAndStoresItsOutputs) {
  const Status status = RunToEnd("succeed");
  EXPECT_EQ(status.outcome(), v1::Attempt::OUTCOME_SUCCEEDED);
  ASSERT_EQ(status.outputs_size(), 2);
  EXPECT_EQ(status.outputs(0).name(), "model.safetensors");
  EXPECT_EQ(status.outputs(0).size_bytes(), 7u);
  EXPECT_EQ(server_.blobs().at(status.outputs(0).artifact()), "weights");
  // What it printed and measured came before its end was told.
  EXPECT_THAT(Lines(), Contains("hello from the runner"));
  uint64_t points = 0;
  for (const auto& record : server_.telemetry()) {
    if (!record.has_point()) continue;
    EXPECT_EQ(record.point().step(), ++points);
    EXPECT_TRUE(record.point().has_time());
  }
  EXPECT_EQ(points, 3u);
  // Once the server has taken note, nothing is left.
  server_.Want({});
  EXPECT_TRUE(server_.AwaitReport(
      [](const Report& report) { return report.attempts_size() == 0; }));
  // Asked once: a worker asked twice, as ~Worker does, leaves the removal of
  // what it still releases to the next one in its folder.
  worker_->Leave();
  worker_->Join();
  EXPECT_TRUE(fs::is_empty(dir_ / "state/attempts"));
  EXPECT_TRUE(fs::is_empty(dir_ / "state/spool"));
}

TEST_F(AgentTest, ARunnersOwnWordIsTheCause) {
  const Status status = RunToEnd("fail");
  EXPECT_EQ(status.outcome(), v1::Attempt::OUTCOME_FAILED);
  EXPECT_EQ(status.failure().category(), v1::Failure::CATEGORY_USER_ERROR);
  EXPECT_EQ(status.failure().message(), "labels: bad");
  EXPECT_EQ(status.failure().stderr_tail(), "bad labels");
  EXPECT_EQ(status.failure().exit_code(), 1);
}

TEST_F(AgentTest, AMissingDatasetFailsTheJobBeforeItsRunnerStarts) {
  server_.Want({FakeServer::Training(7, "succeed", data_ + "/none")});
  const Status status = Await(Status::PHASE_ENDED);
  EXPECT_EQ(status.failure().category(), v1::Failure::CATEGORY_USER_ERROR);
  EXPECT_THAT(status.failure().message(), HasSubstr(data_ + "/none"));
  EXPECT_FALSE(fs::exists(dir_ / "state/attempts/7-1"));
}

TEST_F(AgentTest, AnUnknownDeviceIsTheMachinesFault) {
  v1::DesiredAttempt attempt = Training("succeed");
  attempt.set_devices(0, "cuda:GPU-gone");
  server_.Want({attempt});
  const Status status = Await(Status::PHASE_ENDED);
  EXPECT_EQ(status.failure().category(), v1::Failure::CATEGORY_INFRASTRUCTURE);
}

TEST_F(AgentTest, ARunnerThatIsNotThereIsTheMachinesFault) {
  Start("/no/such/runner");
  const Status status = RunToEnd("succeed");
  EXPECT_EQ(status.failure().category(), v1::Failure::CATEGORY_INFRASTRUCTURE);
  EXPECT_THAT(status.failure().message(), HasSubstr("/no/such/runner"));
}

TEST_F(AgentTest, CancelEndsTheProcess) {
  server_.Want({Training("stubborn")});
  Await(Status::PHASE_RUNNING);
  server_.Want({Training("stubborn", v1::DesiredAttempt::ACTION_CANCEL)});
  EXPECT_EQ(Await(Status::PHASE_ENDED).outcome(),
            v1::Attempt::OUTCOME_CANCELLED);
}

TEST_F(AgentTest, APreemptedEnsembleLeavesNoCheckpointAndStartsAnew) {
  const auto ensemble = [&](uint32_t number) {
    v1::DesiredAttempt attempt = Training("");
    attempt.mutable_key()->set_attempt(number);
    v1::EnsembleInferenceSpec& spec =
        *attempt.mutable_spec()->mutable_ensemble();
    spec.add_members()->set_name("predict");
    spec.mutable_data()->mutable_source()->set_path(data_);
    return attempt;
  };
  server_.Want({ensemble(1)});
  Await(Status::PHASE_RUNNING);
  v1::DesiredAttempt stop = ensemble(1);
  stop.set_action(v1::DesiredAttempt::ACTION_PREEMPT);
  stop.clear_spec();
  server_.Want({stop});
  const Status stopped = Await(Status::PHASE_ENDED);
  EXPECT_EQ(stopped.outcome(), v1::Attempt::OUTCOME_PREEMPTED);
  EXPECT_FALSE(stopped.has_checkpoint());

  server_.Want({ensemble(2)});
  EXPECT_TRUE(server_.AwaitTelemetry([&](const auto& records) {
    return !records.empty() && records.back().key().attempt() == 2;
  }));
}

TEST_F(AgentTest, PreemptionKeepsACheckpointThatTheNextAttemptResumesFrom) {
  server_.Want({Training("train")});
  Await(Status::PHASE_RUNNING);
  EXPECT_TRUE(server_.AwaitTelemetry(
      [](const auto& records) { return records.size() > 3; }));
  server_.Want({Training("train", v1::DesiredAttempt::ACTION_PREEMPT)});
  const Status stopped = Await(Status::PHASE_ENDED);
  EXPECT_EQ(stopped.outcome(), v1::Attempt::OUTCOME_PREEMPTED);
  const uint64_t step = stopped.checkpoint().step();
  EXPECT_GT(step, 0u);
  EXPECT_EQ(server_.blobs().at(stopped.checkpoint().artifact()),
            absl::StrCat(step));

  v1::DesiredAttempt next = Training("train");
  next.mutable_key()->set_attempt(2);
  *next.mutable_checkpoint() = stopped.checkpoint();
  server_.Want({next});
  EXPECT_TRUE(server_.AwaitTelemetry([&](const auto& records) {
    return !records.empty() && records.back().key().attempt() == 2;
  }));
  for (const auto& record : server_.telemetry()) {
    if (record.key().attempt() != 2 || !record.has_point()) continue;
    EXPECT_EQ(record.point().step(), step + 1);
    EXPECT_TRUE(record.point().has_rss_bytes());  // the agent measured it
    break;
  }
}

TEST_F(AgentTest, ACheckpointThatIsNotThereIsNotTheJobsFault) {
  v1::DesiredAttempt attempt = Training("train");
  attempt.mutable_checkpoint()->set_step(5);
  attempt.mutable_checkpoint()->set_artifact("sha256:" + std::string(64, '0'));
  server_.Want({attempt});
  const Status status = Await(Status::PHASE_ENDED);
  EXPECT_EQ(status.failure().category(), v1::Failure::CATEGORY_INFRASTRUCTURE);
  EXPECT_THAT(status.failure().message(), HasSubstr("checkpoint of step 5"));
}

TEST_F(AgentTest, LosingTheServerDoesNotStopARunner) {
  server_.Want({Training("train")});
  Await(Status::PHASE_RUNNING);
  const int streams = server_.streams();
  server_.set_acknowledging(false);
  server_.BreakStreams();
  EXPECT_TRUE(server_.AwaitReport([&](const Report& report) {
    return Holds(report, Status::PHASE_RUNNING) &&
           report.applied_sequence() == 1;
  }));
  const size_t before = server_.telemetry().size();
  server_.set_acknowledging(true);
  EXPECT_TRUE(server_.AwaitTelemetry(
      [&](const auto& records) { return records.size() > before + 20; }));
  EXPECT_GT(server_.streams(), streams);
  uint64_t sequence = 0;  // no gap, though some may have come twice
  for (const auto& record : server_.telemetry()) {
    EXPECT_LE(record.sequence(), sequence + 1);
    sequence = std::max(sequence, record.sequence());
  }
}

TEST_F(AgentTest, EndsWhatTheServerNoLongerLists) {
  server_.Want({Training("polite")});
  Await(Status::PHASE_RUNNING);
  server_.Want({});
  EXPECT_TRUE(server_.AwaitReport(
      [](const Report& report) { return report.attempts_size() == 0; }));
}

TEST_F(AgentTest, ACrashKeepsTheCheckpointAndTheLastWords) {
  server_.Want({Training("crash")});
  EXPECT_TRUE(server_.AwaitReport([](const Report& report) {
    return report.attempts_size() == 1 && report.attempts(0).has_checkpoint();
  }));
  server_.Want({Training("crash", v1::DesiredAttempt::ACTION_PREEMPT)});
  const Status status = Await(Status::PHASE_ENDED);
  EXPECT_EQ(status.outcome(), v1::Attempt::OUTCOME_FAILED);
  EXPECT_EQ(status.failure().category(), v1::Failure::CATEGORY_CRASH);
  EXPECT_EQ(status.failure().exit_code(), -6);
  EXPECT_THAT(status.failure().message(), HasSubstr("SIGABRT"));
  EXPECT_THAT(status.failure().stderr_tail(), HasSubstr("terrible"));
  EXPECT_EQ(status.checkpoint().step(), 2u);
}

TEST_F(AgentTest, HandsItsWorkBackWhenItLeaves) {
  server_.Want({Training("train")});
  Await(Status::PHASE_RUNNING);
  worker_->Leave();
  const Status status = Await(Status::PHASE_ENDED);
  EXPECT_EQ(status.outcome(), v1::Attempt::OUTCOME_PREEMPTED);
  EXPECT_TRUE(status.has_checkpoint());
  EXPECT_TRUE(server_.last_report().leaving());
  server_.Want({});
  worker_->Join();
}

TEST_F(AgentTest, WhatItCouldNotHandOverTheNextOneDoes) {
  Start(FAKE_RUNNER, absl::Milliseconds(300));
  server_.Want({Training("train")});
  Await(Status::PHASE_RUNNING);
  server_.set_broken_transfers(1'000'000'000);
  EXPECT_TRUE(server_.AwaitTelemetry(
      [](const auto& records) { return records.size() > 3; }));
  worker_->Leave();
  worker_->Join();
  EXPECT_EQ(Await(Status::PHASE_STOPPING).checkpoint().step(), 0u);
  EXPECT_TRUE(fs::exists(dir_ / "state/kept.json"));
  EXPECT_TRUE(server_.blobs().empty());

  server_.set_broken_transfers(0);
  Start();
  const Status status = Await(Status::PHASE_ENDED);
  EXPECT_EQ(status.outcome(), v1::Attempt::OUTCOME_PREEMPTED);
  EXPECT_GT(status.checkpoint().step(), 0u);
  EXPECT_EQ(server_.blobs().at(status.checkpoint().artifact()),
            absl::StrCat(status.checkpoint().step()));
  EXPECT_TRUE(server_.last_report().leaving());
  EXPECT_EQ(server_.last_report().instance_id(), "i1");
  server_.Want({});
  worker_->Join();  // by itself: all is handed over
  EXPECT_FALSE(fs::exists(dir_ / "state/kept.json"));
  EXPECT_TRUE(fs::is_empty(dir_ / "state/attempts"));
}

TEST_F(AgentTest, AFolderHasOneWorker) {
  const auto second = WorkDir::Open(dir_ / "state");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--work-dir"));
}

TEST(WorkDirTest, ClearsWhatADeadWorkerLeft) {
  TempDir dir;
  fs::create_directories(dir / "attempts/7-1/work");
  fs::create_directories(dir / "cache/blobs");
  std::ofstream(dir / "spool-file") << "x";
  // A process of the dead worker that is still there.
  auto process = Process::Start({.argv = {FAKE_RUNNER, "stubborn"},
                                 .environment = RunnerEnvironment({}),
                                 .directory = dir.path()});
  ASSERT_TRUE(process.ok()) << process.status();
  WriteRunnerPid(dir / "attempts/7-1", process->pid());
  // Another that merely got the same number later.
  fs::create_directories(dir / "attempts/8-1");
  std::ofstream(dir / "attempts/8-1/runner.pid") << getpid() << " 1\n";
  ASSERT_TRUE(WorkDir::Open(dir.path()).ok());
  EXPECT_TRUE(fs::is_empty(dir / "attempts"));
  EXPECT_TRUE(fs::exists(dir / "cache/blobs"));
  const auto exit = process->Reap();
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->signal, SIGKILL);
}

}  // namespace
}  // namespace trainyard::agent
