// The engine with its thread. Waits are for events, with a deadline.
#include "server/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "server/core/scenario.h"
#include "server/engine/fake_store.h"
#include "spdlog/spdlog.h"

namespace trainyard::engine {
namespace {

using core::JobId;
using core::WorkerName;

constexpr absl::Duration kDeadline = absl::Seconds(30);

core::SubmitJobs Submit(std::string request_id, size_t spec_bytes = 0) {
  core::Submission submission;
  submission.request_id = std::move(request_id);
  submission.spec = std::string(spec_bytes, 'x');
  submission.scheduling = core::OneOf(core::DeviceKind::kCpu);
  return core::SubmitJobs{{submission}};
}

core::ReportWorker Report(const std::string& instance) {
  core::ReportWorker report;
  report.report.worker = WorkerName("a");
  report.report.instance = instance;
  report.report.devices = {core::Cpu()};
  return report;
}

// A queue that tests wait at. Declare it before the engine that fills it.
template <typename T>
class Mailbox {
 public:
  void Put(T value) {
    absl::MutexLock lock(&mutex_);
    values_.push_back(std::move(value));
  }
  T Take() {
    absl::MutexLock lock(&mutex_);
    const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !values_.empty();
    };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&ready), kDeadline)) {
      ADD_FAILURE() << "nothing came";
      return T();
    }
    T value = std::move(values_.front());
    values_.erase(values_.begin());
    return value;
  }
  bool empty() {
    absl::MutexLock lock(&mutex_);
    return values_.empty();
  }

 private:
  absl::Mutex mutex_;
  std::vector<T> values_ ABSL_GUARDED_BY(mutex_);
};

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { spdlog::set_level(spdlog::level::off); }

  std::unique_ptr<Engine> Make(EngineOptions options = {}) {
    return std::make_unique<Engine>(options, &clock_, &store_, &metrics_);
  }
  static core::Reply Call(Engine& engine, core::Command command) {
    Mailbox<core::Reply> replies;
    engine.Post(std::move(command),
                [&](const core::Reply& reply) { replies.Put(reply); });
    return replies.Take();
  }
  // Holds the engine's thread until Release().
  void Hold(Engine& engine) {
    absl::Notification held;
    ASSERT_TRUE(engine.Read([&](const core::Cluster&) {
      held.Notify();
      release_.WaitForNotificationWithTimeout(kDeadline);
    }));
    ASSERT_TRUE(held.WaitForNotificationWithTimeout(kDeadline));
  }
  void Release() { release_.Notify(); }

  ManualClock clock_{absl::FromUnixSeconds(1'000'000)};
  FakeStore store_;
  NoMetrics metrics_;
  absl::Notification release_;
};

TEST_F(EngineTest, RepliesAfterTheJobIsStored) {
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  Mailbox<bool> stored;
  engine->Post(Submit("r"), [&](const core::Reply& reply) {
    stored.Put(store_.GetJob(reply.submits.at(0).job).ok());
  });
  EXPECT_TRUE(stored.Take());
  EXPECT_EQ(engine->revision(), 1u);
}

TEST_F(EngineTest, GroupsWhatWaitsIntoOneCommit) {
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  Hold(*engine);
  Mailbox<core::Reply> replies;
  for (int i = 0; i < 100; ++i) {
    engine->Post(Submit(absl::StrCat(i)),
                 [&](const core::Reply& reply) { replies.Put(reply); });
  }
  Release();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(replies.Take().status.ok());
  EXPECT_EQ(store_.commits(), 1u);
}

TEST_F(EngineTest, RefusesAtOnceWhenTheInboxIsFull) {
  EngineOptions options;
  options.inbox_limit = 2;
  auto engine = Make(options);
  ASSERT_TRUE(engine->Start().ok());
  Hold(*engine);
  Mailbox<core::Reply> replies;
  for (int i = 0; i < 3; ++i) {
    engine->Post(Submit(absl::StrCat(i)),
                 [&](const core::Reply& reply) { replies.Put(reply); });
  }
  EXPECT_EQ(replies.Take().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(engine->Read([](const core::Cluster&) { FAIL(); }));
  Release();
  EXPECT_TRUE(replies.Take().status.ok());
  EXPECT_TRUE(replies.Take().status.ok());
}

TEST_F(EngineTest, RefusesAtOnceWhenTooManyBytesWait) {
  EngineOptions options;
  options.inbox_limit_bytes = 1000;
  auto engine = Make(options);
  ASSERT_TRUE(engine->Start().ok());
  Hold(*engine);
  Mailbox<core::Reply> replies;
  for (const size_t bytes : {2000, 1}) {  // a large one alone is taken
    engine->Post(Submit("", bytes),
                 [&](const core::Reply& reply) { replies.Put(reply); });
  }
  EXPECT_EQ(replies.Take().status.code(), absl::StatusCode::kResourceExhausted);
  Release();
  EXPECT_TRUE(replies.Take().status.ok());
}

TEST_F(EngineTest, TellsTheCallersWhenTheCommitFails) {
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  store_.FailCommits(1, absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(Call(*engine, Submit("r")).status.code(),
            absl::StatusCode::kResourceExhausted);
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Call(*engine, Submit("r")).status.ok());
}

TEST_F(EngineTest, DoesNotStartOnAStoreThatCannotBeRead) {
  auto engine = Make();
  store_.FailLoads(1, absl::DataLossError("corrupt"));
  EXPECT_EQ(engine->Start().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Call(*engine, Submit("r")).status.code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, AnswersEveryoneWhenItStops) {
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  Hold(*engine);
  Mailbox<core::Reply> replies;
  Mailbox<bool> reads;
  engine->Post(Submit("r"),
               [&](const core::Reply& reply) { replies.Put(reply); });
  ASSERT_TRUE(engine->Read([&](const core::Cluster&) { reads.Put(true); }));
  std::thread stopper([&] { engine->Stop(); });
  // Once it is closed, nothing is taken in any more.
  while (engine->Read([](const core::Cluster&) {})) std::this_thread::yield();
  Release();
  stopper.join();
  EXPECT_EQ(replies.Take().status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(reads.Take());
  EXPECT_EQ(Call(*engine, Submit("r")).status.code(),
            absl::StatusCode::kUnavailable);
  engine->Stop();
  EXPECT_TRUE(engine->Start().ok());  // and again
  EXPECT_TRUE(Call(*engine, Submit("r")).status.ok());
}

TEST_F(EngineTest, TellsAWorkerWhatItShouldBeWheneverThatChanges) {
  Mailbox<core::Desired> told;
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  // Not heard yet: nothing is known that could be told.
  engine->SubscribeWorker(WorkerName("a"), [&](const core::Desired& desired) {
    told.Put(desired);
  });
  ASSERT_TRUE(Call(*engine, Report("i")).status.ok());
  EXPECT_TRUE(told.Take().attempts.empty());
  Call(*engine, Submit("r"));
  core::Desired desired = told.Take();
  ASSERT_EQ(desired.attempts.size(), 1u);
  EXPECT_EQ(desired.instance, "i");
  EXPECT_EQ(desired.revision, 2u);
  Call(*engine, Submit("another, that changes nothing"));
  Call(*engine, core::CancelJob{JobId(1), ""});
  EXPECT_EQ(told.Take().attempts.at(0).action, core::Action::kCancel);
}

TEST_F(EngineTest, ANewSubscriptionIsToldAtOnceAndReplacesTheOld) {
  Mailbox<int> told;
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  ASSERT_TRUE(Call(*engine, Report("i")).status.ok());
  const auto subscribe = [&](int number) {
    return engine->SubscribeWorker(
        WorkerName("a"),
        [&, number](const core::Desired&) { told.Put(number); });
  };
  const uint64_t first = subscribe(1);
  EXPECT_EQ(told.Take(), 1);
  const uint64_t second = subscribe(2);
  EXPECT_EQ(told.Take(), 2);
  engine->UnsubscribeWorker(first);  // does not end the second
  Call(*engine, Submit("r"));
  EXPECT_EQ(told.Take(), 2);
  engine->UnsubscribeWorker(second);
}

TEST_F(EngineTest, UnsubscribeWaitsForTheCallbackThatRuns) {
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  absl::Notification entered;
  std::atomic<bool> left = false;
  const uint64_t id = engine->SubscribeRevision([&](core::Revision) {
    entered.Notify();
    release_.WaitForNotificationWithTimeout(kDeadline);
    left = true;
  });
  engine->Post(Submit("r"), [](const core::Reply&) {});
  ASSERT_TRUE(entered.WaitForNotificationWithTimeout(kDeadline));
  std::thread releaser([&] { Release(); });
  engine->UnsubscribeRevision(id);
  EXPECT_TRUE(left);
  releaser.join();
}

TEST_F(EngineTest, ACallbackMayEndItsOwnSubscription) {
  Mailbox<core::Revision> other;
  Mailbox<core::Revision> revisions;
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  uint64_t id = 0;
  std::mutex mutex;
  std::unique_lock lock(mutex);
  id = engine->SubscribeRevision([&](core::Revision revision) {
    std::lock_guard inner(mutex);
    engine->UnsubscribeRevision(id);
    revisions.Put(revision);
  });
  lock.unlock();
  engine->SubscribeRevision([&](core::Revision r) { other.Put(r); });
  Call(*engine, Submit("1"));
  EXPECT_EQ(revisions.Take(), 1u);
  EXPECT_EQ(other.Take(), 1u);
  Call(*engine, Submit("2"));
  EXPECT_EQ(other.Take(), 2u);
  engine->Stop();
  EXPECT_TRUE(revisions.empty());
}

TEST_F(EngineTest, TicksByItself) {
  Mailbox<core::Revision> revisions;
  EngineOptions options;
  options.tick_interval = absl::Milliseconds(1);
  auto engine = Make(options);
  ASSERT_TRUE(engine->Start().ok());
  core::SubmitJobs submit = Submit("r");
  submit.submissions[0].scheduling.queue_time_limit = absl::Seconds(1);
  engine->SubscribeRevision([&](core::Revision r) { revisions.Put(r); });
  Call(*engine, submit);
  EXPECT_EQ(revisions.Take(), 1u);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(revisions.Take(), 2u);
  EXPECT_EQ(store_.GetJob(JobId(1))->state, core::JobState::kFailed);
}

TEST_F(EngineTest, RestartContinuesEverything) {
  {
    auto engine = Make();
    ASSERT_TRUE(engine->Start().ok());
    for (int i = 0; i < 1000; ++i) {
      engine->Post(Submit(absl::StrCat(i)), [](const core::Reply&) {});
    }
    Call(*engine, Report("i"));
  }
  auto engine = Make();
  ASSERT_TRUE(engine->Start().ok());
  Mailbox<std::pair<size_t, size_t>> counts;
  ASSERT_TRUE(engine->Read([&](const core::Cluster& cluster) {
    counts.Put({cluster.CountJobs(core::JobState::kQueued),
                cluster.CountJobs(core::JobState::kStarting)});
  }));
  EXPECT_EQ(counts.Take(), (std::pair<size_t, size_t>(999, 1)));
}

}  // namespace
}  // namespace trainyard::engine
