#include "server/core/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

SchedulingSpec OnCpu() { return OneOf(DeviceKind::kCpu); }

// A worker "a" with one CPU, and a job that runs there.
struct Running : Scenario {
  explicit Running(SchedulingSpec spec = OnCpu()) {
    Report("a", {Cpu()});
    job = Submit(spec);
    EXPECT_TRUE(Send("a", {Is({job, 1}, Phase::kRunning)}).ok());
    EXPECT_EQ(StateOf(job), JobState::kRunning);
  }
  JobId job;
};

// Of the newest records; empty: nothing was requeued.
std::string RequeueReason(const Scenario& s) {
  for (const Record& record : s.records) {
    if (const auto* change = std::get_if<JobRequeued>(&record.change)) {
      return change->reason;
    }
  }
  return "";
}

// ---- submit

TEST(Submit, GivesTheSameJobForTheSameRequest) {
  Scenario s;
  const JobId job = s.Submit(OnCpu(), "r1");
  EXPECT_EQ(s.Submit(OnCpu(), "r1"), job);
  EXPECT_THAT(s.records, IsEmpty());
  EXPECT_NE(s.Submit(OnCpu(), "r2"), job);
  EXPECT_NE(s.Submit(OnCpu()), s.Submit(OnCpu()));
}

TEST(Submit, GivesTheSameJobForTheSameRequestWithinOneBatch) {
  Scenario s;
  Submission a;
  a.request_id = "r";
  a.scheduling = OnCpu();
  const Reply reply = s.Do(SubmitJobs{{a, a}});
  EXPECT_EQ(reply.submits[0].job, reply.submits[1].job);
  EXPECT_EQ(s.cluster.live_jobs(), 1u);
}

TEST(Submit, TellsTheRevisionAndTimeOfNewJobsAlone) {
  Scenario s;
  Submission a;
  a.request_id = "r";
  a.scheduling = OnCpu();
  s.Submit(OnCpu());
  const Reply reply = s.Do(SubmitJobs{{a, a}});
  EXPECT_EQ(reply.submits[0].revision, 2u);
  EXPECT_EQ(reply.submits[0].time, s.now);
  EXPECT_EQ(reply.submits[1].revision, 0u);
}

TEST(Submit, GivesTheEarlierJobThatIsFinal) {
  Scenario s;
  s.history.requests["old"] = JobId(99);
  EXPECT_EQ(s.Submit(OnCpu(), "old"), JobId(99));
  EXPECT_THAT(s.records, IsEmpty());
}

TEST(Submit, RefusesEachJobOverTheLimit) {
  Scenario s;
  s.policy.max_live_jobs = 2;
  Submission a;
  a.scheduling = OnCpu();
  const Reply reply = s.Do(SubmitJobs{{a, a, a}});
  EXPECT_TRUE(reply.submits[1].status.ok());
  EXPECT_EQ(reply.submits[2].status.code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(s.cluster.live_jobs(), 2u);
}

TEST(Submit, RefusesAJobWithoutDevices) {
  Scenario s;
  const Reply reply = s.Do(SubmitJobs{{Submission()}});
  EXPECT_EQ(reply.submits[0].status.code(), absl::StatusCode::kInvalidArgument);
}

// ---- cancel

TEST(Cancel, EndsAQueuedJobAtOnce) {
  Scenario s;
  const JobId job = s.Submit(OnCpu(), "r");
  EXPECT_TRUE(s.Do(CancelJob{job, "typo"}).status.ok());
  EXPECT_EQ(s.StateOf(job), std::nullopt);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kCancelled);
  EXPECT_EQ(s.Find<JobEnded>()->reason, "typo");
  EXPECT_EQ(s.cluster.FindRequest("r"), JobId());
}

TEST(Cancel, WaitsForTheProcessOfARunningJob) {
  Running s;
  EXPECT_TRUE(s.Do(CancelJob{s.job, "typo"}).status.ok());
  EXPECT_EQ(s.StateOf(s.job), JobState::kRunning);
  EXPECT_EQ(s.ActionOf("a"), Action::kCancel);
  EXPECT_TRUE(s.Do(CancelJob{s.job, "again"}).status.ok());
  EXPECT_THAT(s.records, IsEmpty());
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kCancelled)}).ok());
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kCancelled);
  EXPECT_EQ(s.Find<JobEnded>()->reason, "typo");
}

TEST(Cancel, StopsAJobThatStillStarts) {
  Scenario s;
  s.Report("a", {Cpu()});
  const JobId job = s.Submit(OnCpu());
  ASSERT_EQ(s.StateOf(job), JobState::kStarting);
  EXPECT_TRUE(s.Do(CancelJob{job, ""}).status.ok());
  EXPECT_EQ(s.ActionOf("a"), Action::kCancel);
}

TEST(Cancel, EndsTheJobWhateverBecameOfItsAttempt) {
  for (Outcome outcome : {Outcome::kSucceeded, Outcome::kFailed, Outcome::kLost,
                          Outcome::kPreempted, Outcome::kNone}) {
    Running s;
    s.Do(CancelJob{s.job, ""});
    ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, outcome)}).ok());
    EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kCancelled);
  }
}

TEST(Cancel, EndsTheJobWhenItsWorkerIsLost) {
  Running s;
  s.Do(CancelJob{s.job, ""});
  s.Wait(absl::Seconds(31));
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kLost);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kCancelled);
}

TEST(Cancel, TellsWhatTheJobIsAlready) {
  Scenario s;
  s.history.states = {{JobId(1), JobState::kSucceeded},
                      {JobId(2), JobState::kFailed},
                      {JobId(3), JobState::kCancelled}};
  const auto code = [&](uint64_t job) {
    return s.Do(CancelJob{JobId(job), ""}).status.code();
  };
  EXPECT_EQ(code(1), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(2), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(3), absl::StatusCode::kOk);
  EXPECT_EQ(code(4), absl::StatusCode::kNotFound);
}

// ---- attempts

TEST(Attempt, SucceedsWithItsOutputsAndFreesTheDevice) {
  Running s;
  const JobId next = s.Submit(OnCpu());
  AttemptStatus status = Ended({s.job, 1}, Outcome::kSucceeded);
  status.outputs = {{"model.safetensors", "sha256:1", 5}};
  ASSERT_TRUE(s.Send("a", {status}).ok());
  EXPECT_EQ(s.StateOf(s.job), std::nullopt);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kSucceeded);
  EXPECT_EQ(s.Find<JobEnded>()->outputs, status.outputs);
  EXPECT_EQ(s.StateOf(next), JobState::kStarting);  // in the same decision
}

TEST(Attempt, MaySucceedBeforeItWasReportedRunning) {
  Scenario s;
  s.Report("a", {Cpu()});
  const JobId job = s.Submit(OnCpu());
  ASSERT_TRUE(s.Send("a", {Ended({job, 1}, Outcome::kSucceeded)}).ok());
  EXPECT_NE(s.Find<AttemptStarted>(), nullptr);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kSucceeded);
}

TEST(Attempt, IsRetriedAfterABackoffThatDoubles) {
  SchedulingSpec spec = OnCpu();
  spec.max_retries = 2;
  spec.backoff = absl::Seconds(4);
  Running s(spec);
  ASSERT_TRUE(s.Send("a", {Failed({s.job, 1}, FailureCategory::kCrash)}).ok());
  absl::Duration pause = s.Find<JobRequeued>()->not_before - s.now;
  EXPECT_GE(pause, absl::Seconds(4) * 0.8);
  EXPECT_LE(pause, absl::Seconds(4) * 1.2);
  EXPECT_THAT(s.Find<JobRequeued>()->reason, HasSubstr("boom; retry 1 of 2"));
  s.Wait(pause - absl::Milliseconds(1));
  EXPECT_EQ(s.StateOf(s.job), JobState::kQueued);
  s.Wait(absl::Milliseconds(1));
  EXPECT_EQ(s.KeyOf(s.job).attempt, 2u);
  ASSERT_TRUE(s.Send("a", {Failed({s.job, 2}, FailureCategory::kCrash)}).ok());
  pause = s.Find<JobRequeued>()->not_before - s.now;
  EXPECT_GE(pause, absl::Seconds(8) * 0.8);
  EXPECT_LE(pause, absl::Seconds(8) * 1.2);
  s.Wait(pause);
  ASSERT_TRUE(s.Send("a", {Failed({s.job, 3}, FailureCategory::kCrash)}).ok());
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kFailed);
  EXPECT_EQ(s.Find<JobEnded>()->reason, "attempt 3 failed: boom");
}

TEST(Attempt, IsRetriedAfterTenMinutesAndTheirJitterAtMost) {
  SchedulingSpec spec = OnCpu();
  spec.max_retries = 100;
  spec.backoff = absl::Minutes(4);
  Running s(spec);
  for (uint32_t attempt = 1; attempt <= 40; ++attempt) {
    ASSERT_TRUE(
        s.Send("a", {Failed({s.job, attempt}, FailureCategory::kCrash)}).ok());
    EXPECT_LE(s.Find<JobRequeued>()->not_before, s.now + absl::Minutes(12));
    s.now += absl::Minutes(12);
    ASSERT_TRUE(s.Send("a").ok());
  }
}

TEST(Attempt, IsNotRetriedWhenThatCannotHelp) {
  struct Case {
    FailureCategory category;
    bool retried;
  };
  const Case cases[] = {{FailureCategory::kUnknown, true},
                        {FailureCategory::kUserError, false},
                        {FailureCategory::kOutOfMemory, true},
                        {FailureCategory::kCrash, true},
                        {FailureCategory::kInfrastructure, true},
                        {FailureCategory::kTimeLimit, false}};
  for (const Case& c : cases) {
    Running s;
    ASSERT_TRUE(s.Send("a", {Failed({s.job, 1}, c.category)}).ok());
    EXPECT_EQ(s.Find<JobRequeued>() != nullptr, c.retried);
    EXPECT_EQ(s.Find<JobEnded>() != nullptr, !c.retried);
  }
}

// Ends attempt `number` of the job by a new process of its worker.
void Lose(Running& s, uint32_t number) {
  ASSERT_EQ(s.KeyOf(s.job).attempt, number);
  s.ReportOf("a").instance = absl::StrCat("a-", number + 1);
  ASSERT_TRUE(s.Send("a").ok());
}

TEST(Attempt, LostOnceIsTriedAgainAtOnceAndThenAfterABackoffThatDoubles) {
  Running s;
  Lose(s, 1);
  EXPECT_EQ(s.Find<JobRequeued>()->not_before, s.now);
  EXPECT_EQ(RequeueReason(s), "attempt 1 was lost: workers/a started anew");
  for (uint32_t attempt = 2; attempt <= 5; ++attempt) {
    Lose(s, attempt);
    const absl::Duration pause = s.Find<JobRequeued>()->not_before - s.now;
    const absl::Duration base = absl::Seconds(1 << (attempt - 2));
    EXPECT_GE(pause, base * 0.8) << attempt;
    EXPECT_LE(pause, base * 1.2) << attempt;
    EXPECT_THAT(RequeueReason(s), HasSubstr("; again after "));
    EXPECT_EQ(s.cluster.FindJob(s.job)->failures, 0u);
    s.now += pause;
    ASSERT_TRUE(s.Send("a").ok());
  }
}

TEST(Attempt, LostTooOftenInARowFailsItsJob) {
  SchedulingSpec spec = OnCpu();
  spec.backoff = absl::ZeroDuration();
  Running s(spec);
  s.policy.max_losses = 3;
  Lose(s, 1);
  Lose(s, 2);
  Lose(s, 3);
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kLost);
  EXPECT_EQ(s.Find<AttemptEnded>()->failure->category,
            FailureCategory::kInfrastructure);
  ASSERT_NE(s.Find<JobEnded>(), nullptr);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kFailed);
  EXPECT_THAT(s.Find<JobEnded>()->reason,
              HasSubstr("lost 3 times in a row without a new checkpoint"));
}

TEST(Attempt, LossesCountAnewAfterACheckpointAndOnlyThen) {
  SchedulingSpec spec = OnCpu();
  spec.backoff = absl::ZeroDuration();
  Running s(spec);
  s.policy.max_losses = 3;
  Lose(s, 1);
  Lose(s, 2);
  ASSERT_TRUE(s.Send("a", {Failed({s.job, 3}, FailureCategory::kCrash)}).ok());
  EXPECT_EQ(s.cluster.FindJob(s.job)->losses, 2u);  // that is no progress
  AttemptStatus preempted = Ended({s.job, 4}, Outcome::kPreempted);
  preempted.checkpoint = Checkpoint{1, "sha256:a", 1};
  ASSERT_TRUE(s.Send("a", {preempted}).ok());
  EXPECT_EQ(s.cluster.FindJob(s.job)->losses, 0u);
  Lose(s, 5);
  AttemptStatus running = Is({s.job, 6}, Phase::kRunning);
  running.checkpoint = Checkpoint{1, "sha256:a", 1};  // not a new one
  ASSERT_TRUE(s.Send("a", {running}).ok());
  EXPECT_EQ(s.cluster.FindJob(s.job)->losses, 1u);
  AttemptStatus gone = Ended({s.job, 6}, Outcome::kLost);
  gone.checkpoint = Checkpoint{2, "sha256:b", 1};
  ASSERT_TRUE(s.Send("a", {gone}).ok());
  EXPECT_EQ(s.cluster.FindJob(s.job)->losses, 1u);  // the one after it
}

TEST(Attempt, LostTooOftenIsCancelledAllTheSameWhenThatWasAskedFor) {
  Running s;
  s.policy.max_losses = 1;
  s.Do(CancelJob{s.job, "typo"});
  Lose(s, 1);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kCancelled);
  EXPECT_EQ(s.Find<AttemptEnded>()->failure, std::nullopt);
}

TEST(Attempt, StoppedWithoutBeingAskedUsesUpARetry) {
  SchedulingSpec spec = OnCpu();
  spec.max_retries = 0;
  for (Outcome outcome : {Outcome::kCancelled, Outcome::kNone}) {
    Running s(spec);
    ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, outcome)}).ok());
    EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kFailed);
    EXPECT_EQ(s.Find<AttemptEnded>()->failure->category,
              FailureCategory::kInfrastructure);
  }
}

TEST(Attempt, KeepsItsNewestCheckpointForTheNext) {
  Running s;
  AttemptStatus status = Is({s.job, 1}, Phase::kRunning);
  status.checkpoint = Checkpoint{20, "sha256:b", 1};
  ASSERT_TRUE(s.Send("a", {status}).ok());
  EXPECT_NE(s.Find<CheckpointStored>(), nullptr);
  ASSERT_TRUE(s.Send("a", {status}).ok());
  EXPECT_EQ(s.Find<CheckpointStored>(), nullptr);
  status.checkpoint->step = 10;  // older
  ASSERT_TRUE(s.Send("a", {status}).ok());
  EXPECT_EQ(s.Find<CheckpointStored>(), nullptr);
  s.Wait(absl::Seconds(31));
  s.Report("b", {Cpu()});
  EXPECT_EQ(s.DesiredOf("b").attempts[0].checkpoint->step, 20u);
}

TEST(Attempt, NewsOfAnyOtherThanTheHolderIsDropped) {
  Running s;
  s.Report("b", {Cuda(0)});
  const AttemptStatus good = Ended({s.job, 1}, Outcome::kSucceeded);
  ASSERT_TRUE(s.Send("b", {good}).ok());  // another worker
  ASSERT_TRUE(s.Send("a", {Is({s.job, 1}, Phase::kRunning),
                           Ended({s.job, 2}, Outcome::kSucceeded),
                           Ended({JobId(77), 1}, Outcome::kSucceeded)})
                  .ok());
  EXPECT_EQ(s.StateOf(s.job), JobState::kRunning);
}

TEST(Attempt, OfOneReportIsHeardOnce) {
  Running s;
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kSucceeded),
                           Ended({s.job, 1}, Outcome::kFailed)})
                  .ok());
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kSucceeded);
}

// ---- limits

TEST(Limit, RunTimeCancelsThenFailsWithItsCategory) {
  SchedulingSpec spec = OnCpu();
  spec.run_time_limit = absl::Seconds(10);
  Running s(spec);
  s.Wait(absl::Seconds(9));
  EXPECT_EQ(s.ActionOf("a"), Action::kRun);
  s.Wait(absl::Seconds(1));
  EXPECT_EQ(s.ActionOf("a"), Action::kCancel);
  s.Wait(absl::Seconds(1));
  EXPECT_THAT(s.records, IsEmpty());
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kCancelled)}).ok());
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kFailed);
  EXPECT_EQ(s.Find<AttemptEnded>()->failure->category,
            FailureCategory::kTimeLimit);
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kFailed);
  EXPECT_THAT(s.Find<JobEnded>()->reason, HasSubstr("limits.run_time of 10s"));
}

TEST(Limit, QueueTimeFailsAJobThatWasNeverPlaced) {
  SchedulingSpec spec = OnCpu();
  spec.queue_time_limit = absl::Seconds(10);
  Scenario s;
  const JobId job = s.Submit(spec);
  s.Wait(absl::Seconds(9));
  EXPECT_EQ(s.StateOf(job), JobState::kQueued);
  s.Wait(absl::Seconds(1));
  EXPECT_EQ(s.Find<JobEnded>()->state, JobState::kFailed);
  EXPECT_THAT(s.Find<JobEnded>()->reason, HasSubstr("limits.queue_time"));
}

TEST(Limit, QueueTimeDoesNotCountOnceAJobWasPlaced) {
  SchedulingSpec spec = OnCpu();
  spec.queue_time_limit = absl::Seconds(10);
  Running s(spec);
  s.Wait(absl::Seconds(31));  // lost: queued again
  s.Wait(absl::Seconds(31));
  EXPECT_EQ(s.StateOf(s.job), JobState::kQueued);
}

TEST(Limit, MayStrikeInTheSameTickAsTheLease) {
  SchedulingSpec spec = OnCpu();
  spec.run_time_limit = absl::Seconds(10);
  Running s(spec);
  s.Wait(absl::Seconds(31));
  EXPECT_EQ(s.StateOf(s.job), JobState::kQueued);
}

// ---- workers

TEST(Worker, LosesItsAttemptsWhenItsLeaseEnds) {
  SchedulingSpec spec = OnCpu();
  spec.max_retries = 0;
  Running s(spec);
  s.Wait(absl::Seconds(30));
  EXPECT_EQ(s.StateOf(s.job), JobState::kRunning);
  s.Wait(absl::Seconds(1));
  EXPECT_EQ(s.StateOf(s.job), JobState::kQueued);  // uses up no retry
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kLost);
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kLost);
  // Back again, it is fenced off the old attempt and gets a new one.
  ASSERT_TRUE(s.Send("a", {Is({s.job, 1}, Phase::kRunning)}).ok());
  EXPECT_EQ(s.DesiredOf("a").attempts[0].key, (AttemptKey{s.job, 2}));
}

TEST(Worker, IsNotLostByTheServersOwnDowntime) {
  Running s;
  s.now += absl::Seconds(100);
  s.Do(Tick{.listening_since = s.now - absl::Seconds(30)});
  EXPECT_EQ(s.StateOf(s.job), JobState::kRunning);
  s.now += absl::Seconds(1);
  s.Do(Tick{.listening_since = s.now - absl::Seconds(31)});
  EXPECT_EQ(s.StateOf(s.job), JobState::kQueued);
}

TEST(Worker, KeepsItsAttemptsWhileItIsSilent) {
  Running s;
  s.Do(DisconnectWorker{WorkerName("a"), "another"});
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kOnline);
  s.Do(DisconnectWorker{WorkerName("a"), "a-1"});
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kSilent);
  EXPECT_EQ(s.StateOf(s.job), JobState::kRunning);
  ASSERT_TRUE(s.Send("a", {Is({s.job, 1}, Phase::kRunning)}).ok());
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kOnline);
}

TEST(Worker, StartedAnewLosesTheAttemptsOfItsOldProcessAtOnce) {
  Running s;
  s.ReportOf("a").instance = "a-2";
  ASSERT_TRUE(s.Send("a").ok());
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kLost);
  EXPECT_EQ(s.DesiredOf("a").attempts[0].key, (AttemptKey{s.job, 2}));
  // The old process is refused from now on.
  s.ReportOf("a").instance = "a-1";
  EXPECT_EQ(s.Send("a", {Is({s.job, 1}, Phase::kRunning)}).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(s.KeyOf(s.job).attempt, 2u);
}

TEST(Worker, StartedAnewIsNotHeardAboutTheAttemptsOfItsOldProcess) {
  Running s;
  s.ReportOf("a").instance = "a-2";
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kSucceeded)}).ok());
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kLost);
  EXPECT_EQ(s.KeyOf(s.job).attempt, 2u);
}

TEST(Worker, LosesAnAttemptThatItKnewOfAndNoLongerReports) {
  Running s;
  const Revision placed = s.DesiredOf("a").revision;
  ASSERT_TRUE(s.Send("a").ok());  // a new stream: nothing applied yet
  EXPECT_EQ(s.StateOf(s.job), JobState::kRunning);
  s.ReportOf("a").applied_revision = placed;
  ASSERT_TRUE(s.Send("a").ok());
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kLost);
}

TEST(Worker, KeepsAnAttemptPlacedAfterWhatItHasApplied) {
  Scenario s;
  s.Report("a", {Cpu()});
  s.ReportOf("a").applied_revision = s.cluster.revision();
  const JobId job = s.Submit(OnCpu());
  ASSERT_TRUE(s.Send("a").ok());
  EXPECT_EQ(s.KeyOf(job).attempt, 1u);
  EXPECT_EQ(s.StateOf(job), JobState::kStarting);
}

TEST(Worker, DrainedPreemptsAndGetsNothingNew) {
  Running s;
  EXPECT_TRUE(s.Do(DrainWorker{WorkerName("a")}).status.ok());
  EXPECT_EQ(s.ActionOf("a"), Action::kPreempt);
  EXPECT_TRUE(s.DesiredOf("a").draining);
  AttemptStatus status = Ended({s.job, 1}, Outcome::kPreempted);
  status.checkpoint = Checkpoint{7, "sha256:c", 1};
  ASSERT_TRUE(s.Send("a", {status}).ok());
  EXPECT_EQ(RequeueReason(s),
            "attempt 1 was preempted on workers/a: it is drained");
  EXPECT_EQ(s.StateOf(s.job), JobState::kQueued);
  EXPECT_EQ(s.cluster.FindJob(s.job)->failures, 0u);
  s.Report("b", {Cpu()});
  EXPECT_EQ(s.WorkerOf(s.job), "b");
  EXPECT_EQ(s.DesiredOf("b").attempts[0].checkpoint->step, 7u);
}

TEST(Worker, LeavingPreempts) {
  Running s;
  s.ReportOf("a").leaving = true;
  ASSERT_TRUE(s.Send("a", {Is({s.job, 1}, Phase::kRunning)}).ok());
  EXPECT_EQ(s.ActionOf("a"), Action::kPreempt);
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kPreempted)}).ok());
  EXPECT_EQ(RequeueReason(s),
            "attempt 1 was preempted on workers/a: it leaves");
}

TEST(Worker, PreemptsUnasked) {
  Running s;
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kPreempted)}).ok());
  EXPECT_EQ(RequeueReason(s),
            "attempt 1 was preempted on workers/a: it handed the job back");
}

TEST(Worker, DrainOfAnUnknownOneIsNotFound) {
  Scenario s;
  EXPECT_EQ(s.Do(DrainWorker{WorkerName("x")}).status.code(),
            absl::StatusCode::kNotFound);
}

TEST(Worker, ThatSaidSoAndHoldsNothingHasLeftAndIsForgottenAfterItsLease) {
  Running s;
  s.ReportOf("a").leaving = true;
  ASSERT_TRUE(s.Send("a", {Is({s.job, 1}, Phase::kStopping)}).ok());
  const DisconnectWorker gone{WorkerName("a"), "a-1"};
  s.Do(gone);  // with the attempt: it may come back
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kSilent);
  ASSERT_TRUE(s.Send("a", {Ended({s.job, 1}, Outcome::kPreempted)}).ok());
  s.Do(gone);
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kLeft);
  EXPECT_EQ(s.cluster.fleet().Count(WorkerState::kSilent), 0u);
  s.Wait(absl::Seconds(31));
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a")), nullptr);
  EXPECT_EQ(s.cluster.fleet().Count(WorkerState::kLeft), 0u);
  EXPECT_EQ(s.cluster.fleet().Count(WorkerState::kLost), 0u);
}

TEST(Worker, ThatLeftIsRememberedWhileItIsDrained) {
  Scenario s;
  s.ReportOf("a").leaving = true;
  ASSERT_TRUE(s.Send("a").ok());
  s.Do(DrainWorker{WorkerName("a")});
  s.Do(DisconnectWorker{WorkerName("a"), s.ReportOf("a").instance});
  s.Wait(absl::Seconds(31));
  EXPECT_TRUE(s.records.empty());
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a"))->state, WorkerState::kLeft);
  s.Do(DrainWorker{.worker = WorkerName("a"), .draining = false});
  s.Wait(absl::Seconds(1));
  EXPECT_EQ(s.cluster.FindWorker(WorkerName("a")), nullptr);
}

TEST(Worker, ReportsAreChecked) {
  Scenario s;
  s.policy.max_workers = 1;
  s.ReportOf("a").devices = {Cpu(), Cpu()};
  EXPECT_EQ(s.Send("a").code(), absl::StatusCode::kInvalidArgument);
  s.ReportOf("a").devices = {Cpu()};
  s.ReportOf("a").instance = "";
  EXPECT_EQ(s.Send("a").code(), absl::StatusCode::kInvalidArgument);
  s.ReportOf("a").instance = "1";
  EXPECT_TRUE(s.Send("a").ok());
  EXPECT_EQ(s.Send("b").code(), absl::StatusCode::kResourceExhausted);
}

TEST(Worker, LostOnesAreForgottenAfterAThousand) {
  Scenario s;
  for (int i = 0; i < 1100; ++i) s.Report(absl::StrCat("w", i), {});
  s.Wait(absl::Seconds(31));
  EXPECT_EQ(s.cluster.workers().size(), Fleet::kMaxLost);
  EXPECT_EQ(s.cluster.fleet().Count(WorkerState::kLost), Fleet::kMaxLost);
}

}  // namespace
}  // namespace trainyard::core
