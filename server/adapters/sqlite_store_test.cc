#include "server/adapters/sqlite_store.h"

#include <sqlite3.h>

#include <cstdio>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/adapters/temp_folder.h"

namespace trainyard::adapters {
namespace {

using core::JobId;
using core::JobState;
using core::Record;
using core::Revision;
using core::WorkerName;

engine::JobQuery Query(std::vector<JobState> states, core::Labels labels,
                       std::string name = "", std::vector<JobId> jobs = {}) {
  return {std::move(states), std::move(labels), std::move(name),
          std::move(jobs)};
}

class SqliteStoreTest : public testing::Test {
 protected:
  void SetUp() override { Open({}); }

  void Open(SqliteStoreOptions options) {
    store_.reset();
    auto store = SqliteStore::Open(folder_.path() + "/jobs.db", options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    const auto snapshot = store_->Load();
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    snapshot_ = *snapshot;
  }

  Record Make(uint64_t job, core::Change change) {
    ++revision_;
    return {revision_,
            absl::FromUnixSeconds(static_cast<int64_t>(1000 + revision_)),
            JobId(job), std::move(change)};
  }

  Record Submit(uint64_t job, const std::string& request_id = "",
                core::Labels labels = {}) {
    core::JobSubmitted change;
    change.request_id = request_id;
    change.name = "training";
    change.spec = absl::StrCat("spec of ", job);
    change.scheduling.devices = {{core::DeviceKind::kCpu, 1, 0}};
    change.labels = std::move(labels);
    return Make(job, std::move(change));
  }

  Record Place(uint64_t job, uint32_t attempt) {
    return Make(job, core::AttemptPlaced{attempt,
                                         WorkerName("w1"),
                                         "i1",
                                         core::DeviceKind::kCuda,
                                         {"cuda:1"}});
  }

  absl::Status Commit(std::vector<Record> records) {
    return store_->Commit(records);
  }

  std::vector<uint64_t> List(engine::JobQuery query, uint64_t before = 0,
                             size_t limit = 100) {
    const auto jobs = store_->ListJobs(query, JobId(before), limit);
    EXPECT_TRUE(jobs.ok()) << jobs.status();
    return IdsOf(*jobs);
  }

  std::vector<uint64_t> Changed(engine::JobQuery query, Revision after,
                                size_t limit = 100) {
    const auto jobs = store_->ChangedJobs(query, after, limit);
    EXPECT_TRUE(jobs.ok()) << jobs.status();
    return IdsOf(*jobs);
  }

  static std::vector<uint64_t> IdsOf(
      const std::vector<engine::StoredJob>& jobs) {
    std::vector<uint64_t> ids;
    for (const auto& job : jobs) ids.push_back(job.id.value());
    return ids;
  }

  TempFolder folder_;
  std::unique_ptr<SqliteStore> store_;
  engine::Snapshot snapshot_;
  Revision revision_ = 0;
};

using Ids = std::vector<uint64_t>;

TEST_F(SqliteStoreTest, KeepsTheWholeWayOfAJobOverARestart) {
  const core::Checkpoint checkpoint{50, "sha256:aa", 7};
  const core::Failure failure{core::FailureCategory::kCrash, "it crashed",
                              "tail", -11};
  ASSERT_TRUE(Commit({Submit(1, "r1", {{"team", "birds"}})}).ok());
  ASSERT_TRUE(Commit({Place(1, 1), Make(1, core::AttemptStarted{1}),
                      Make(1, core::CheckpointStored{1, checkpoint})})
                  .ok());
  ASSERT_TRUE(
      Commit({Make(1, core::AttemptEnded{1, core::Outcome::kFailed, failure}),
              Make(1, core::JobRequeued{absl::FromUnixSeconds(5000), 1, "again",
                                        3})})
          .ok());
  Open({});

  ASSERT_EQ(snapshot_.jobs.size(), 1u);
  EXPECT_EQ(snapshot_.revision, revision_);
  EXPECT_EQ(snapshot_.last_job, JobId(1));
  const engine::StoredJob& live = snapshot_.jobs[0];
  EXPECT_EQ(live.state, JobState::kQueued);
  EXPECT_EQ(live.request_id, "r1");
  EXPECT_EQ(live.not_before, absl::FromUnixSeconds(5000));
  EXPECT_EQ(live.failures, 1u);
  EXPECT_EQ(live.losses, 3u);
  EXPECT_EQ(live.checkpoint, checkpoint);
  EXPECT_EQ(live.spec, "");
  ASSERT_EQ(live.attempts.size(), 1u);
  EXPECT_EQ(live.attempts[0].worker, WorkerName("w1"));
  EXPECT_EQ(live.attempts[0].instance, "i1");
  EXPECT_EQ(live.attempts[0].kind, core::DeviceKind::kCuda);
  EXPECT_EQ(live.attempts[0].devices, std::vector<std::string>{"cuda:1"});
  EXPECT_EQ(live.attempts[0].outcome, core::Outcome::kFailed);
  EXPECT_EQ(live.attempts[0].failure, failure);

  ASSERT_TRUE(
      Commit({Place(1, 2),
              Make(1, core::AttemptEnded{2, core::Outcome::kSucceeded, {}}),
              Make(1,
                   core::JobEnded{
                       JobState::kSucceeded, "", {{"m", "sha256:bb", 3}}})})
          .ok());
  Open({});
  EXPECT_TRUE(snapshot_.jobs.empty());
  const auto job = store_->GetJob(JobId(1));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state, JobState::kSucceeded);
  EXPECT_EQ(job->spec, "spec of 1");
  EXPECT_EQ(job->labels, (core::Labels{{"team", "birds"}}));
  EXPECT_EQ(job->outputs, (std::vector<core::Output>{{"m", "sha256:bb", 3}}));
  EXPECT_EQ(job->attempts.size(), 2u);
  EXPECT_EQ(job->revision, revision_);
  EXPECT_TRUE(job->end_time.has_value());
}

TEST_F(SqliteStoreTest, KeepsWhoPreemptedWhomAndForgetsLossesAtACheckpoint) {
  const core::Preemption preemption{JobId(9), "priority 10 over 0",
                                    absl::FromUnixSeconds(7000)};
  ASSERT_TRUE(
      Commit({Submit(1), Place(1, 1),
              Make(1, core::AttemptEnded{1, core::Outcome::kLost, {}}),
              Make(1, core::JobRequeued{absl::FromUnixSeconds(5000), 0, "lost",
                                        2}),
              Place(1, 2), Make(1, core::AttemptPreempted{2, preemption})})
          .ok());
  Open({});
  ASSERT_EQ(snapshot_.jobs.size(), 1u);
  EXPECT_EQ(snapshot_.revision, revision_);
  EXPECT_EQ(snapshot_.jobs[0].losses, 2u);
  ASSERT_EQ(snapshot_.jobs[0].attempts.size(), 2u);
  EXPECT_EQ(snapshot_.jobs[0].attempts[0].preemption, std::nullopt);
  EXPECT_EQ(snapshot_.jobs[0].attempts[1].preemption, preemption);
  ASSERT_TRUE(
      Commit({Make(1, core::CheckpointStored{2, {50, "sha256:aa", 7}})}).ok());
  EXPECT_EQ(store_->GetJob(JobId(1))->losses, 0u);
}

TEST_F(SqliteStoreTest, KeepsWhenAnAttemptStartedThatEndedInTheSameCommit) {
  ASSERT_TRUE(Commit({Submit(1), Submit(2)}).ok());
  ASSERT_TRUE(Commit({Place(1, 1), Place(2, 1)}).ok());
  const Record start_1 = Make(1, core::AttemptStarted{1});
  const Record start_2 = Make(2, core::AttemptStarted{1});
  const Record end_1 =
      Make(1, core::AttemptEnded{1, core::Outcome::kSucceeded, {}});
  ASSERT_TRUE(Commit({start_1, start_2, end_1,
                      Make(1, core::JobEnded{JobState::kSucceeded, "", {}})})
                  .ok());
  const Record end_2 =
      Make(2, core::AttemptEnded{1, core::Outcome::kSucceeded, {}});
  ASSERT_TRUE(
      Commit({end_2, Make(2, core::JobEnded{JobState::kSucceeded, "", {}})})
          .ok());
  const auto both = store_->GetJob(JobId(1));
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->attempts.at(0).start_time, start_1.time);
  EXPECT_EQ(both->attempts.at(0).end_time, end_1.time);
  const auto apart = store_->GetJob(JobId(2));
  ASSERT_TRUE(apart.ok()) << apart.status();
  EXPECT_EQ(apart->attempts.at(0).start_time, start_2.time);
  EXPECT_EQ(apart->attempts.at(0).end_time, end_2.time);
}

TEST_F(SqliteStoreTest, FindsRequestsOfLiveAndFinalJobsAfterARestart) {
  ASSERT_TRUE(Commit({Submit(1, "r1"), Submit(2, "r2")}).ok());
  ASSERT_TRUE(
      Commit({Make(1, core::JobEnded{JobState::kCancelled, "", {}})}).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(*store_->FindRequest("r1"), JobId(1));
    EXPECT_EQ(*store_->FindRequest("r2"), JobId(2));
    EXPECT_EQ(*store_->FindRequest("r3"), std::nullopt);
    EXPECT_EQ(*store_->FindState(JobId(1)), JobState::kCancelled);
    EXPECT_EQ(*store_->FindState(JobId(9)), std::nullopt);
    Open({});
  }
}

TEST_F(SqliteStoreTest, SkipsRecordsThatAreNotDurable) {
  EXPECT_TRUE(Commit({Make(0, core::WorkerLost{WorkerName("w1")})}).ok());
  Open({});
  EXPECT_EQ(snapshot_.revision, 0u);
}

TEST_F(SqliteStoreTest, KeepsDrains) {
  ASSERT_TRUE(Commit({Make(0, core::WorkerDrainSet{WorkerName("a"), true}),
                      Make(0, core::WorkerDrainSet{WorkerName("b"), true}),
                      Make(0, core::WorkerDrainSet{WorkerName("a"), false})})
                  .ok());
  Open({});
  EXPECT_EQ(snapshot_.draining, std::vector<WorkerName>{WorkerName("b")});
  EXPECT_EQ(snapshot_.revision, 3u);
}

TEST_F(SqliteStoreTest, KeepsQueuesAndWhatTheyUsedOverARestart) {
  const core::QueueName team("team"), gone("gone");
  const core::QueueSettings settings{
      .weight = 2.5,
      .state = core::QueueState::kDraining,
      .owner = core::UserName("ada"),
      .quota = {.devices = {{core::DeviceKind::kCuda, 0}},
                .running_jobs = 7,
                .device_hours = 1.5}};
  core::AccountPast of_queue{.queue = team};
  of_queue.past[2] = {.mean = 0.1 + 0.2,
                      .device_seconds = -5,
                      .time = absl::FromUnixSeconds(77)};
  core::AccountPast of_user{.queue = team, .user = core::UserName("")};
  of_user.past[1].device_seconds = 3;
  core::AccountPast of_gone{.queue = gone};
  of_gone.past[1].mean = 1;
  ASSERT_TRUE(Commit({Make(0, core::QueueSet{team, {}}),
                      Make(0, core::QueueSet{gone, {}})})
                  .ok());
  const std::vector<Record> records = {Make(0, core::QueueSet{team, settings})};
  ASSERT_TRUE(store_->Commit(records, {of_queue, of_user, of_gone}).ok());
  ASSERT_TRUE(
      Commit({Make(0, core::QueueDeleted{gone}),
              Make(0, core::QueueHoursReset{core::QueueName("default")})})
          .ok());
  Open({});
  EXPECT_EQ(snapshot_.revision, revision_);
  ASSERT_EQ(snapshot_.queues.size(), 1u);
  EXPECT_EQ(snapshot_.queues[0].first, team);
  EXPECT_EQ(snapshot_.queues[0].second, settings);
  ASSERT_EQ(snapshot_.past.size(), 2u);
  EXPECT_EQ(snapshot_.past[0].user, std::nullopt);
  EXPECT_EQ(snapshot_.past[0].past, of_queue.past);
  EXPECT_EQ(snapshot_.past[1].user, core::UserName(""));
  EXPECT_EQ(snapshot_.past[1].past, of_user.past);
}

TEST_F(SqliteStoreTest, ListsNewestFirstWithFiltersAndPages) {
  ASSERT_TRUE(Commit({Submit(1, "", {{"t", "x"}}), Submit(2),
                      Submit(3, "", {{"t", "x"}}), Submit(4, "", {{"t", "y"}})})
                  .ok());
  ASSERT_TRUE(Commit({Place(3, 1)}).ok());
  EXPECT_EQ(List({}), (Ids{4, 3, 2, 1}));
  EXPECT_EQ(List({}, 4, 2), (Ids{3, 2}));
  EXPECT_EQ(List(Query({JobState::kQueued}, {})), (Ids{4, 2, 1}));
  EXPECT_EQ(List(Query({JobState::kStarting, JobState::kQueued}, {}), 0, 3),
            (Ids{4, 3, 2}));
  EXPECT_EQ(List(Query({}, {{"t", "x"}})), (Ids{3, 1}));
  EXPECT_EQ(List(Query({}, {{"t", "x"}}), 3), (Ids{1}));
  EXPECT_EQ(List(Query({JobState::kQueued}, {{"t", "x"}})), (Ids{1}));
  EXPECT_EQ(List(Query({}, {{"t", "x"}, {"u", "z"}})), Ids());
  EXPECT_EQ(List(Query({}, {}, "training", {}), 3), (Ids{2, 1}));
  EXPECT_EQ(List(Query({}, {}, "'; DROP TABLE jobs; --", {})), Ids());
  EXPECT_EQ(List(Query({}, {}, "", {JobId(2), JobId(3), JobId(77)})),
            (Ids{3, 2}));
}

TEST_F(SqliteStoreTest, GivesChangedJobsInTheOrderOfRevisions) {
  ASSERT_TRUE(Commit({Submit(1, "", {{"t", "x"}}), Submit(2), Submit(3)}).ok());
  ASSERT_TRUE(Commit({Place(1, 1)}).ok());
  EXPECT_EQ(Changed({}, 0), (Ids{2, 3, 1}));
  EXPECT_EQ(Changed({}, 0, 2), (Ids{2, 3}));
  EXPECT_EQ(Changed({}, 3), (Ids{1}));
  EXPECT_EQ(Changed({}, 4), Ids());
  EXPECT_EQ(Changed(Query({}, {{"t", "x"}}), 0), (Ids{1}));
  EXPECT_EQ(Changed(Query({}, {}, "", {JobId(1), JobId(2)}), 2), (Ids{1}));
  EXPECT_EQ(Changed(Query({JobState::kQueued, JobState::kStarting}, {}), 0),
            (Ids{2, 3, 1}));
}

TEST_F(SqliteStoreTest, ShowsTheFirstAndTheLastHundredAttempts) {
  ASSERT_TRUE(Commit({Submit(1)}).ok());
  std::vector<Record> records;
  for (uint32_t attempt = 1; attempt <= 250; ++attempt)
    records.push_back(Place(1, attempt));
  ASSERT_TRUE(Commit(std::move(records)).ok());
  const auto job = store_->GetJob(JobId(1));
  ASSERT_TRUE(job.ok());
  ASSERT_EQ(job->attempts.size(), 200u);
  EXPECT_EQ(job->attempts[99].number, 100u);
  EXPECT_EQ(job->attempts[100].number, 151u);
  EXPECT_EQ(job->attempts[199].number, 250u);
}

TEST_F(SqliteStoreTest, UnknownJobIsNotFound) {
  EXPECT_EQ(store_->GetJob(JobId(5)).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(store_->GetSpec(JobId(5)).status().message()),
              testing::HasSubstr("jobs/5"));
}

TEST_F(SqliteStoreTest, AFullDiskLeavesTheStoreAsItWas) {
  ASSERT_TRUE(Commit({Submit(1, "r1")}).ok());
  Open({.max_pages = 40});
  absl::Status status;
  uint64_t job = 2;
  uint64_t accepted = 1;
  for (; job < 1000 && status.ok(); ++job) {
    status = Commit({Submit(job, absl::StrCat("r", job)), Place(job, 1)});
    if (status.ok()) accepted = job;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(*store_->FindRequest(absl::StrCat("r", accepted + 1)),
            std::nullopt);
  EXPECT_EQ(List({}, 0, 1000).size(), accepted);
  Open({});
  EXPECT_EQ(snapshot_.jobs.size(), accepted);
  EXPECT_EQ(snapshot_.last_job, JobId(accepted));
  EXPECT_TRUE(Commit({Submit(accepted + 1)}).ok());
}

TEST_F(SqliteStoreTest, ARecordOfAnUnknownJobUndoesItsWholeCommit) {
  EXPECT_EQ(
      Commit({Submit(1), Make(8, core::JobEnded{JobState::kFailed, "", {}})})
          .code(),
      absl::StatusCode::kInternal);
  EXPECT_EQ(List({}), Ids());
}

TEST_F(SqliteStoreTest, RefusesAFileOfANewerProgram) {
  store_.reset();
  const std::string path = folder_.path() + "/jobs.db";
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "INSERT INTO migrations(version) VALUES(999)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(db);
  const auto store = SqliteStore::Open(path, {});
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), testing::HasSubstr("999"));
}

TEST_F(SqliteStoreTest, RefusesAFileThatIsNoDatabase) {
  const std::string path = folder_.path() + "/other.db";
  FILE* file = fopen(path.c_str(), "w");
  fputs(std::string(5000, 'x').c_str(), file);
  fclose(file);
  EXPECT_EQ(SqliteStore::Open(path, {}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(SqliteStoreTest, ReadsWhileItWrites) {
  std::thread reader([this] {
    for (int i = 0; i < 200; ++i) {
      const auto jobs = store_->ChangedJobs({}, 0, 10);
      EXPECT_TRUE(jobs.ok()) << jobs.status();
    }
  });
  for (uint64_t job = 1; job <= 50; ++job)
    EXPECT_TRUE(Commit({Submit(job)}).ok());
  reader.join();
  EXPECT_EQ(List({}).size(), 50u);
}

}  // namespace
}  // namespace trainyard::adapters
