#include "server/core/cluster.h"

#include <gtest/gtest.h>

#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

Record MakeRecord(const Cluster& cluster, JobId job, Change change) {
  Record record;
  record.change = std::move(change);
  record.revision = cluster.revision() + (IsDurable(record) ? 1 : 0);
  record.time = absl::FromUnixSeconds(1);
  record.job = job;
  return record;
}

TEST(Cluster, RefusesRecordsThatDoNotFollow) {
  Scenario s;
  s.Report("a", {Cpu()});
  const JobId running = s.Submit(OneOf(DeviceKind::kCpu), "r");
  const JobId queued = s.Submit(OneOf(DeviceKind::kCpu));
  struct Case {
    const char* what;
    JobId job;
    Change change;
  };
  JobSubmitted again;
  again.request_id = "r";
  const AttemptPlaced taken{
      1, WorkerName("a"), "a-1", DeviceKind::kCpu, {"cpu"}};
  const Case cases[] = {
      {"gap in the jobs", JobId(9), JobSubmitted()},
      {"same request", JobId(3), again},
      {"unknown job", JobId(9), AttemptStarted{1}},
      {"wrong attempt", running, AttemptStarted{2}},
      {"not placed", queued, AttemptStarted{1}},
      {"attempt skipped", queued,
       AttemptPlaced{2, WorkerName("b"), "b", DeviceKind::kCpu, {}}},
      {"device is taken", queued, taken},
      {"requeued while placed", running, JobRequeued()},
      {"ended while placed", running, JobEnded{JobState::kFailed, "", {}}},
      {"never ran", queued, JobEnded{JobState::kSucceeded, "", {}}},
      {"not final", queued, JobEnded{JobState::kRunning, "", {}}},
      {"holds an attempt", JobId(), WorkerLost{WorkerName("a")}},
  };
  for (const Case& c : cases) {
    const Revision before = s.cluster.revision();
    const absl::Status status =
        s.cluster.Apply(MakeRecord(s.cluster, c.job, c.change));
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << c.what;
    EXPECT_EQ(s.cluster.revision(), before) << c.what;
  }
}

TEST(Cluster, RefusesARevisionOutOfOrder) {
  Cluster cluster({}, 5, JobId(2));
  Record record = MakeRecord(cluster, JobId(3), JobSubmitted());
  record.revision = 7;
  EXPECT_EQ(cluster.Apply(record).code(), absl::StatusCode::kInternal);
  record.revision = 6;
  EXPECT_TRUE(cluster.Apply(record).ok());
}

TEST(Cluster, RecordsThatAreNotDurableTakeNoRevision) {
  Scenario s;
  s.Report("a", {Cpu()});
  EXPECT_EQ(s.cluster.revision(), 0u);
  s.Submit(OneOf(DeviceKind::kCpu));
  EXPECT_EQ(s.cluster.revision(), 2u);  // submitted, placed
}

TEST(Cluster, TheEndOfAWaitingWideJobWakesThoseWhoWaitForWhatWasKeptForIt) {
  Scenario s;
  SchedulingSpec wide = OneOf(DeviceKind::kCuda);
  const JobId narrow_job = s.Submit(wide);
  wide.devices[0].count = 2;
  const JobId wide_job = s.Submit(wide);
  uint64_t before = s.cluster.openings();
  s.Do(CancelJob{wide_job, ""});
  EXPECT_GT(s.cluster.openings(), before);
  before = s.cluster.openings();
  s.Do(CancelJob{narrow_job, ""});
  EXPECT_EQ(s.cluster.openings(), before);
}

TEST(Cluster, RestoresWhatItsJobsHold) {
  const absl::Time now = absl::FromUnixSeconds(100);
  Cluster cluster({}, 40, JobId(9));
  RestoredJob job;
  job.id = JobId(4);
  job.state = JobState::kRunning;
  job.request_id = "r";
  job.scheduling = OneOf(DeviceKind::kCpu);
  job.scheduling.run_time_limit = absl::Seconds(10);
  job.last_attempt = 3;
  LiveAttempt& attempt = job.attempt.emplace();
  attempt.number = 3;
  attempt.worker = WorkerName("a");
  attempt.instance = "a-1";
  attempt.devices = {"cpu"};
  attempt.start_time = now - absl::Seconds(5);
  ASSERT_TRUE(cluster.Restore(job, now).ok());
  cluster.RestoreDraining(WorkerName("b"), now);
  EXPECT_EQ(cluster.FindRequest("r"), JobId(4));
  EXPECT_EQ(cluster.last_job(), JobId(9));
  EXPECT_EQ(cluster.CountJobs(JobState::kRunning), 1u);
  EXPECT_EQ(cluster.FindJob(JobId(4))->attempt->placed_revision, 40u);
  EXPECT_EQ(cluster.deadlines().begin()->first, now + absl::Seconds(5));
  const Worker* worker = cluster.FindWorker(WorkerName("a"));
  EXPECT_EQ(worker->state, WorkerState::kSilent);
  EXPECT_EQ(worker->last_seen, now);
  EXPECT_TRUE(worker->attempts.contains(AttemptKey{JobId(4), 3}));
  EXPECT_TRUE(cluster.FindWorker(WorkerName("b"))->draining);
  EXPECT_EQ(cluster.FindWorker(WorkerName("b"))->state, WorkerState::kLeft);
}

TEST(Cluster, RefusesToRestoreAContradiction) {
  Cluster cluster({}, 40, JobId(9));
  RestoredJob job;
  job.id = JobId(4);
  job.scheduling = OneOf(DeviceKind::kCpu);
  job.state = JobState::kRunning;  // without an attempt
  EXPECT_FALSE(cluster.Restore(job, absl::UnixEpoch()).ok());
  job.state = JobState::kFailed;
  EXPECT_FALSE(cluster.Restore(job, absl::UnixEpoch()).ok());
}

}  // namespace
}  // namespace trainyard::core
