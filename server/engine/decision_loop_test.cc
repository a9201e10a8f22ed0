#include "server/engine/decision_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/core/scenario.h"
#include "server/engine/fake_store.h"
#include "spdlog/spdlog.h"

namespace trainyard::engine {
namespace {

using core::Action;
using core::JobId;
using core::JobState;
using core::Outcome;
using core::WorkerName;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

core::SubmitJobs Submit(const std::string& request_id,
                        absl::Duration limit = absl::InfiniteDuration()) {
  core::Submission submission;
  submission.request_id = request_id;
  submission.scheduling = core::OneOf(core::DeviceKind::kCpu);
  submission.scheduling.run_time_limit = limit;
  return core::SubmitJobs{{submission}};
}

core::ReportWorker Report(const std::string& instance,
                          std::vector<core::AttemptStatus> attempts = {}) {
  core::ReportWorker report;
  report.report.worker = WorkerName("a");
  report.report.instance = instance;
  report.report.devices = {core::Cpu()};
  report.report.attempts = std::move(attempts);
  return report;
}

class DecisionLoopTest : public ::testing::Test {
 protected:
  DecisionLoopTest() {
    spdlog::set_level(spdlog::level::off);  // failing commits are meant
    Restart();
  }

  void Restart() {
    loop_ = std::make_unique<DecisionLoop>(core::Policy(), &store_, &metrics_);
    EXPECT_TRUE(loop_->Load(now_).ok());
  }
  Round Run(std::vector<core::Command> commands) {
    return loop_->RunOnce(commands, now_);
  }
  core::Reply RunOne(core::Command command) {
    return Run({std::move(command)}).replies.at(0);
  }
  JobId SubmitOne(const std::string& request_id) {
    return RunOne(Submit(request_id)).submits.at(0).job;
  }
  JobState StoredState(JobId job) { return store_.GetJob(job)->state; }
  void Pass(absl::Duration duration) {
    for (; duration > absl::ZeroDuration(); duration -= absl::Seconds(1)) {
      now_ += absl::Seconds(1);
      Run({core::Tick()});
    }
  }

  FakeStore store_;
  NoMetrics metrics_;
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  std::unique_ptr<DecisionLoop> loop_;
};

TEST_F(DecisionLoopTest, CommitsAWholeRoundAtOnce) {
  const Round round = Run({Submit("1"), Report("i"), Submit("2")});
  EXPECT_EQ(round.replies.size(), 3u);
  EXPECT_EQ(store_.commits(), 1u);
  EXPECT_EQ(StoredState(JobId(1)), JobState::kStarting);
  EXPECT_EQ(StoredState(JobId(2)), JobState::kQueued);
  EXPECT_TRUE(round.jobs_changed);
  EXPECT_THAT(round.workers, ElementsAre(WorkerName("a")));
}

TEST_F(DecisionLoopTest, CommitsNothingForAHeartbeat) {
  Run({Report("i")});
  const Round round = Run({Report("i"), core::Tick()});
  EXPECT_EQ(store_.commits(), 0u);
  EXPECT_FALSE(round.jobs_changed);
  EXPECT_THAT(round.workers, IsEmpty());
}

TEST_F(DecisionLoopTest, FindsTheJobOfARequestAfterItsEndAndARestart) {
  const JobId job = SubmitOne("r");
  EXPECT_TRUE(RunOne(core::CancelJob{job, ""}).status.ok());
  EXPECT_EQ(SubmitOne("r"), job);
  Restart();
  EXPECT_EQ(SubmitOne("r"), job);
  EXPECT_EQ(loop_->cluster().live_jobs(), 0u);
}

TEST_F(DecisionLoopTest, FindsTheJobOfARequestThatEndedInTheSameRound) {
  const Round round = Run({Submit("r"), core::CancelJob{JobId(1), ""},
                           Submit("r"), core::CancelJob{JobId(1), ""}});
  EXPECT_EQ(round.replies[2].submits[0].job, JobId(1));
  EXPECT_TRUE(round.replies[3].status.ok());
  EXPECT_EQ(loop_->cluster().last_job(), JobId(1));
}

TEST_F(DecisionLoopTest, RefusesToCancelWhatHasEnded) {
  Run({Report("i"), Submit("r")});
  Run({Report("i", {core::Ended({JobId(1), 1}, Outcome::kSucceeded)})});
  EXPECT_EQ(RunOne(core::CancelJob{JobId(1), ""}).status.code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RunOne(core::CancelJob{JobId(2), ""}).status.code(),
            absl::StatusCode::kNotFound);
}

TEST_F(DecisionLoopTest, FailedCommitChangesNothingAndTellsTheCallers) {
  Run({Report("i")});
  SubmitOne("kept");
  const core::Revision revision = loop_->cluster().revision();
  store_.FailCommits(1, absl::ResourceExhaustedError("disk full"));
  const Round round = Run({Submit("lost"), core::CancelJob{JobId(1), ""}});
  for (const core::Reply& reply : round.replies) {
    EXPECT_EQ(reply.status.code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(loop_->cluster().revision(), revision);
  EXPECT_EQ(loop_->cluster().live_jobs(), 1u);
  // Workers are still known, and are told again what to be.
  EXPECT_EQ(loop_->cluster().FindWorker(WorkerName("a"))->state,
            core::WorkerState::kOnline);
  EXPECT_THAT(round.workers, Contains(WorkerName("a")));
}

TEST_F(DecisionLoopTest, RefusesDurableCommandsForAWhileAfterAFailedCommit) {
  Run({Report("i")});
  store_.FailCommits(1, absl::InternalError("bad sector"));
  EXPECT_EQ(RunOne(Submit("1")).status.code(), absl::StatusCode::kUnavailable);
  now_ += absl::Milliseconds(50);
  EXPECT_EQ(RunOne(Submit("1")).status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(RunOne(Report("i")).status.ok());  // heartbeats go on
  EXPECT_EQ(store_.commits(), 0u);
  now_ += absl::Milliseconds(50);
  EXPECT_TRUE(RunOne(Submit("1")).status.ok());
}

TEST_F(DecisionLoopTest, TellsNobodyAnythingWhileTheStoreCannotBeRead) {
  Run({Report("i")});
  const JobId job = SubmitOne("r");
  store_.FailCommits(1, absl::InternalError("io"));
  store_.FailLoads(2, absl::InternalError("io"));
  EXPECT_THAT(Run({Submit("x")}).workers, IsEmpty());
  EXPECT_FALSE(loop_->loaded());
  EXPECT_EQ(loop_->cluster().live_jobs(), 0u);
  now_ += absl::Seconds(5);
  EXPECT_THAT(Run({core::Tick()}).workers, IsEmpty());
  now_ += absl::Seconds(5);
  const Round round = Run({core::Tick()});
  EXPECT_TRUE(loop_->loaded());
  EXPECT_THAT(round.workers, Contains(WorkerName("a")));
  EXPECT_NE(loop_->cluster().FindJob(job), nullptr);
}

TEST_F(DecisionLoopTest, AFailingStoreEndsNoLease) {
  Run({Report("i"), Submit("r")});
  store_.FailCommits(1000, absl::InternalError("io"));
  store_.FailLoads(1000, absl::InternalError("io"));
  Run({Submit("x")});
  Pass(absl::Seconds(120));
  store_.FailCommits(0, absl::OkStatus());
  store_.FailLoads(0, absl::OkStatus());
  Pass(absl::Seconds(10));
  EXPECT_EQ(StoredState(JobId(1)), JobState::kStarting);
  Pass(absl::Seconds(30));
  EXPECT_EQ(StoredState(JobId(1)), JobState::kQueued);
}

TEST_F(DecisionLoopTest, RestartKeepsQueuedJobsAndThoseThatRun) {
  Run({Report("i"), Submit("1"), Submit("2")});
  Run({Report("i", {core::Is({JobId(1), 1}, core::Phase::kRunning)})});
  now_ += absl::Hours(5);  // the server was down
  Restart();
  Pass(absl::Seconds(29));
  EXPECT_EQ(StoredState(JobId(1)), JobState::kRunning);
  Run({Report("i", {core::Is({JobId(1), 1}, core::Phase::kRunning)})});
  Pass(absl::Seconds(29));
  EXPECT_EQ(StoredState(JobId(1)), JobState::kRunning);
  Run({Report("i", {core::Ended({JobId(1), 1}, Outcome::kSucceeded)})});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kSucceeded);
  EXPECT_EQ(StoredState(JobId(2)), JobState::kStarting);
}

TEST_F(DecisionLoopTest, RestartGivesUpOnWorkersThatDoNotComeBack) {
  Run({Report("i"), Submit("1")});
  Restart();
  Pass(absl::Seconds(31));
  EXPECT_EQ(StoredState(JobId(1)), JobState::kQueued);
}

TEST_F(DecisionLoopTest, RestartKeepsDrainingAndCancelling) {
  Run({Report("i"), Submit("1")});
  Run({core::DrainWorker{WorkerName("a")}, core::CancelJob{JobId(1), "why"}});
  Restart();
  EXPECT_TRUE(loop_->cluster().FindWorker(WorkerName("a"))->draining);
  Run({Report("i", {core::Ended({JobId(1), 1}, Outcome::kCancelled)})});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kCancelled);
  EXPECT_EQ(store_.GetJob(JobId(1))->reason, "why");
}

TEST_F(DecisionLoopTest, AnOverdueAttemptIsCancelledEvenAfterARestart) {
  Run({Report("i"), Submit("1", absl::Seconds(3))});
  Run({Report("i", {core::Is({JobId(1), 1}, core::Phase::kRunning)})});
  const auto action = [&] {
    return core::DeriveDesired(loop_->cluster(), WorkerName("a"))
        .attempts.at(0)
        .action;
  };
  now_ += absl::Seconds(3);
  EXPECT_THAT(Run({core::Tick()}).workers, Contains(WorkerName("a")));
  EXPECT_EQ(action(), Action::kCancel);
  Restart();
  Run({Report("i", {core::Is({JobId(1), 1}, core::Phase::kRunning)})});
  Run({core::Tick()});
  EXPECT_EQ(action(), Action::kCancel);
}

TEST_F(DecisionLoopTest, ALongPauseOfTheServerEndsNoLease) {
  Run({Report("i"), Submit("1")});
  now_ += absl::Hours(1);  // a suspended laptop
  Run({core::Tick()});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kStarting);
  Pass(absl::Seconds(31));
  EXPECT_EQ(StoredState(JobId(1)), JobState::kQueued);
}

TEST_F(DecisionLoopTest, PlacesAJobWhenItsBackoffIsOver) {
  Run({Report("i"), Submit("1")});
  Run({Report("i",
              {core::Failed({JobId(1), 1}, core::FailureCategory::kCrash)})});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kQueued);
  now_ = loop_->cluster().FindJob(JobId(1))->not_before;
  Run({core::Tick()});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kStarting);
}

core::SubmitJobs SubmitUrgent(const std::string& request_id) {
  core::SubmitJobs submit = Submit(request_id);
  submit.submissions[0].scheduling.priority = 10;
  return submit;
}

TEST_F(DecisionLoopTest, PreemptsOnceTheAttemptHasRunForLongEnough) {
  Run({Report("i"), Submit("1")});
  Run({SubmitUrgent("2")});
  const auto preemption = [&] {
    return loop_->cluster().FindJob(JobId(1))->attempt->preemption;
  };
  for (int i = 0; i < 59; ++i) {
    now_ += absl::Seconds(1);
    Run({Report("i", {core::Is({JobId(1), 1}, core::Phase::kRunning)})});
  }
  EXPECT_EQ(preemption(), std::nullopt);
  now_ += absl::Seconds(1);  // nothing but time has passed
  const Round round = Run({core::Tick()});
  ASSERT_TRUE(preemption().has_value());
  EXPECT_EQ(preemption()->by, JobId(2));
  EXPECT_THAT(round.workers, ElementsAre(WorkerName("a")));
  EXPECT_TRUE(round.jobs_changed);
  EXPECT_EQ(store_.GetJob(JobId(1))->attempts.at(0).preemption, preemption());
  const size_t commits = store_.commits();
  for (int i = 0; i < 10; ++i) {
    now_ += absl::Seconds(1);
    EXPECT_THAT(Run({core::Tick()}).workers, IsEmpty());
  }
  EXPECT_EQ(store_.commits(), commits);
}

TEST_F(DecisionLoopTest, APreemptionGoesOnAfterARestart) {
  Run({Report("i"), Submit("1")});
  now_ += absl::Minutes(2);
  const std::vector<core::AttemptStatus> running = {
      core::Is({JobId(1), 1}, core::Phase::kRunning)};
  Run({Report("i", running), SubmitUrgent("2")});
  const auto action = [&] {
    return core::DeriveDesired(loop_->cluster(), WorkerName("a"))
        .attempts.at(0)
        .action;
  };
  EXPECT_EQ(action(), Action::kPreempt);
  now_ += absl::Minutes(4);
  Restart();
  Run({Report("i", running)});
  EXPECT_EQ(action(), Action::kPreempt);
  EXPECT_EQ(loop_->cluster().claims().victims(), 1u);
  now_ += absl::Minutes(1);  // its grace goes on, too
  Run({Report("i", running)});
  Run({core::Tick()});
  EXPECT_EQ(action(), Action::kCancel);
  Run({Report("i", {core::Ended({JobId(1), 1}, Outcome::kCancelled)})});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kQueued);
  EXPECT_EQ(StoredState(JobId(2)), JobState::kStarting);
  EXPECT_EQ(store_.GetJob(JobId(1))->reason,
            "attempt 1 was preempted on workers/a by jobs/2 (priority 10 over "
            "0)");
}

TEST_F(DecisionLoopTest, LossesAreCountedOverRestarts) {
  Run({Report("i1"), Submit("1")});
  for (uint32_t attempt = 1; attempt <= 9; ++attempt) {
    ASSERT_EQ(loop_->cluster().FindJob(JobId(1))->last_attempt, attempt);
    Run({Report(absl::StrCat("i", attempt + 1))});
    EXPECT_EQ(store_.GetJob(JobId(1))->losses, attempt);
    Restart();
    EXPECT_EQ(loop_->cluster().FindJob(JobId(1))->losses, attempt);
    now_ += absl::Minutes(12);
    Run({Report(absl::StrCat("i", attempt + 1))});
  }
  Run({Report("i11")});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kFailed);
}

TEST_F(DecisionLoopTest, ATimeThatGoesBackIsHeldStill) {
  Run({Report("i"), Submit("1")});
  now_ -= absl::Hours(1);
  Run({core::Tick(), Submit("2")});
  EXPECT_EQ(StoredState(JobId(1)), JobState::kStarting);
  EXPECT_GT(store_.GetJob(JobId(2))->submit_time, now_);
}

// What goes to the metrics, once it is durable.
class Counts : public NoMetrics {
 public:
  void OnCommitFailure() override { ++failures; }
  void OnJobSubmitted() override { ++submitted; }
  void OnJobPlaced(absl::Duration wait) override { waits.push_back(wait); }
  void OnJobEnded(JobState state, absl::Duration run_time) override {
    ended.emplace_back(state, run_time);
  }
  void OnAttemptEnded(Outcome outcome) override { outcomes.push_back(outcome); }

  void OnWorkerLost() override { ++lost; }

  int failures = 0;
  int submitted = 0;
  int lost = 0;
  std::vector<absl::Duration> waits;
  std::vector<std::pair<JobState, absl::Duration>> ended;
  std::vector<Outcome> outcomes;
};

TEST_F(DecisionLoopTest, CountsLostWorkersButNotThoseThatSaidTheyLeave) {
  for (const bool leaving : {false, true}) {
    Counts counts;
    DecisionLoop loop(core::Policy(), &store_, &counts);
    ASSERT_TRUE(loop.Load(now_).ok());
    core::ReportWorker report = Report("i");
    report.report.leaving = leaving;
    loop.RunOnce({core::Command(report)}, now_);
    loop.RunOnce({core::Command(core::DisconnectWorker{WorkerName("a"), "i"})},
                 now_);
    for (int second = 0; second < 60; ++second) {
      now_ += absl::Seconds(1);
      loop.RunOnce({core::Command(core::Tick())}, now_);
    }
    const core::Worker* worker = loop.cluster().FindWorker(WorkerName("a"));
    if (leaving) {
      EXPECT_EQ(worker, nullptr);  // it left, and is forgotten
    } else {
      ASSERT_NE(worker, nullptr);
      EXPECT_EQ(worker->state, core::WorkerState::kLost);
    }
    EXPECT_EQ(counts.lost, leaving ? 0 : 1);
  }
}

TEST_F(DecisionLoopTest, MeasuresWhatWasCommitted) {
  Counts counts;
  DecisionLoop loop(core::Policy(), &store_, &counts);
  ASSERT_TRUE(loop.Load(now_).ok());
  loop.RunOnce({core::Command(Submit("1"))}, now_);
  store_.FailCommits(1, absl::InternalError("io"));
  loop.RunOnce({core::Command(Submit("2"))}, now_);
  now_ += absl::Seconds(4);
  loop.RunOnce({core::Command(Report("i"))}, now_);
  loop.RunOnce({core::Command(Report(
                   "i", {core::Is({JobId(1), 1}, core::Phase::kRunning)}))},
               now_);
  now_ += absl::Seconds(2);
  loop.RunOnce({core::Command(Report(
                   "i", {core::Ended({JobId(1), 1}, Outcome::kSucceeded)}))},
               now_);
  EXPECT_EQ(counts.submitted, 1);
  EXPECT_EQ(counts.failures, 1);
  EXPECT_THAT(counts.waits, ElementsAre(absl::Seconds(4)));
  EXPECT_THAT(counts.outcomes, ElementsAre(Outcome::kSucceeded));
  EXPECT_THAT(counts.ended,
              ElementsAre(std::pair(JobState::kSucceeded, absl::Seconds(2))));
}

}  // namespace
}  // namespace trainyard::engine
