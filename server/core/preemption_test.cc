#include "server/core/preemption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "server/core/explain.h"
#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

SchedulingSpec Needing(uint32_t cards, int32_t priority) {
  SchedulingSpec spec;
  spec.devices = {{DeviceKind::kCuda, cards, 0}};
  spec.priority = priority;
  return spec;
}

struct Yard : Scenario {
  using Scenario::Scenario;

  // For longer than what protects an attempt, and not silent.
  void Grow(absl::Duration duration = absl::Minutes(2)) {
    now += duration;
    for (const auto& [name, worker] : cluster.workers()) Say(name.value());
  }
  // What the worker holds goes on.
  void Say(const std::string& name) {
    std::vector<AttemptStatus> attempts;
    for (const AttemptKey& key :
         cluster.FindWorker(WorkerName(name))->attempts) {
      attempts.push_back(Is(key, Phase::kRunning));
    }
    ASSERT_TRUE(Send(name, std::move(attempts)).ok());
  }
  void End(JobId job, Outcome outcome) {
    const std::string worker = WorkerOf(job);
    ASSERT_TRUE(Send(worker, {Ended(KeyOf(job), outcome)}).ok());
  }
  // Whom the job is to make room for; none: an empty id.
  JobId PreemptorOf(JobId job) const {
    const Job* found = cluster.FindJob(job);
    if (found->attempt == nullptr || !found->attempt->preemption.has_value()) {
      return JobId();
    }
    return found->attempt->preemption->by;
  }
  std::vector<JobId> Victims(const std::vector<JobId>& jobs) const {
    std::vector<JobId> victims;
    for (JobId job : jobs) {
      if (PreemptorOf(job) != JobId()) victims.push_back(job);
    }
    return victims;
  }
};

// A worker with one card, a job of priority 0 that has run there for a while.
struct OneCard : Yard {
  OneCard() {
    Report("a", {Cuda(0)});
    low = Submit(Needing(1, 0));
    Grow();
  }
  JobId low;
};

TEST(Preemption, MakesRoomForAHigherPriorityAndTellsWhoAndWhy) {
  OneCard s;
  const JobId high = s.Submit(Needing(1, 10));
  ASSERT_NE(s.Find<AttemptPreempted>(), nullptr);
  EXPECT_EQ(s.PreemptorOf(s.low), high);
  EXPECT_EQ(s.ActionOf("a"), Action::kPreempt);
  EXPECT_EQ(Explain(s.cluster, s.low, s.now),
            "It is being preempted by jobs/2.");
  AttemptStatus ended = Ended(s.KeyOf(s.low), Outcome::kPreempted);
  ended.checkpoint = Checkpoint{5, "sha256:a", 1};
  ASSERT_TRUE(s.Send("a", {ended}).ok());
  EXPECT_EQ(s.Find<JobRequeued>()->reason,
            "attempt 1 was preempted on workers/a by jobs/2 (priority 10 over "
            "0)");
  EXPECT_EQ(s.Find<JobRequeued>()->not_before, s.now);
  EXPECT_EQ(s.WorkerOf(high), "a");
  EXPECT_EQ(s.StateOf(s.low), JobState::kQueued);
  EXPECT_EQ(s.cluster.FindJob(s.low)->failures, 0u);
  s.End(high, Outcome::kSucceeded);
  EXPECT_EQ(s.KeyOf(s.low).attempt, 2u);
  EXPECT_EQ(s.DesiredOf("a").attempts[0].checkpoint->step, 5u);
}

TEST(Preemption, IsDecidedOnce) {
  OneCard s;
  s.Submit(Needing(1, 10));
  s.Wait(absl::Seconds(1));
  EXPECT_THAT(s.records, IsEmpty());
  s.Submit(Needing(1, 10));
  EXPECT_EQ(s.Find<AttemptPreempted>(), nullptr);
}

TEST(Preemption, IsNotForTheSamePriorityNorByAge) {
  OneCard s;
  const JobId same = s.Submit(Needing(1, 0));
  s.Submit(Needing(1, -1));
  s.Grow(absl::Hours(100));
  EXPECT_EQ(s.StateOf(same), JobState::kQueued);
  EXPECT_EQ(s.PreemptorOf(s.low), JobId());
}

TEST(Preemption, SparesWhatIsYoungCancelledOrStopsAlready) {
  for (const char* what : {"young", "cancelled", "overdue", "draining"}) {
    Yard s;
    s.Report("a", {Cuda(0)});
    SchedulingSpec spec = Needing(1, 0);
    const std::string how = what;
    if (how == "overdue") spec.run_time_limit = absl::Seconds(1);
    const JobId low = s.Submit(spec);
    s.Say("a");
    if (how != "young") s.Grow();
    if (how == "young") s.Grow(absl::Seconds(29));
    if (how == "cancelled") s.Do(CancelJob{low, ""});
    if (how == "overdue") s.Do(Tick{});
    if (how == "draining") s.Do(DrainWorker{WorkerName("a")});
    s.Submit(Needing(1, 10));
    EXPECT_EQ(s.PreemptorOf(low), JobId()) << what;
    if (how != "young") continue;
    s.Grow(absl::Seconds(30));
    EXPECT_EQ(s.PreemptorOf(low), JobId());
    s.Grow(absl::Seconds(1));
    EXPECT_NE(s.PreemptorOf(low), JobId());
  }
}

TEST(Preemption, FindsTheOldOneAmongManyYoung) {
  OneCard s;
  for (int32_t priority : {-2, -1, 0}) {
    for (int i = 0; i < 700; ++i) {
      s.Report(absl::StrCat("w", priority, "-", i), {Cuda(0)});
      s.Submit(Needing(1, priority));
    }
  }
  s.Submit(Needing(1, 10));
  EXPECT_NE(s.PreemptorOf(s.low), JobId());
}

TEST(Preemption, CanBeSwitchedOff) {
  for (bool at_once : {false, true}) {
    OneCard s;
    if (at_once) {
      s.policy.preemption.max_at_once = 0;
    } else {
      s.policy.preemption.by_priority = false;
    }
    s.Submit(Needing(1, 10));
    EXPECT_EQ(s.PreemptorOf(s.low), JobId());
  }
}

TEST(Preemption, IsOnlyForWhatTheQuotaAllows) {
  OneCard s;
  QueueSettings settings;
  settings.quota.devices[DeviceKind::kCuda] = 0;
  s.Do(SetQueue{QueueName("q"), settings});
  SchedulingSpec spec = Needing(1, 10);
  spec.queue = QueueName("q");
  s.Submit(spec);
  EXPECT_EQ(s.PreemptorOf(s.low), JobId());
  settings.quota.devices[DeviceKind::kCuda] = 1;
  s.Do(SetQueue{QueueName("q"), settings});
  EXPECT_NE(s.PreemptorOf(s.low), JobId());
}

TEST(Preemption, DoesNotSpendTheSameQuotaTwice) {
  Yard s;
  s.Report("a", {Cuda(0), Cuda(1)});
  const std::vector<JobId> low = {s.Submit(Needing(1, 0)),
                                  s.Submit(Needing(1, 0))};
  s.Grow();
  QueueSettings settings;
  settings.quota.running_jobs = 1;
  s.Do(SetQueue{QueueName("q"), settings});
  SchedulingSpec spec = Needing(1, 10);
  spec.queue = QueueName("q");
  s.Submit(spec);
  s.Submit(spec);
  EXPECT_EQ(s.Victims(low).size(), 1u);
}

TEST(Preemption, IsOnlyWhereTheJobCouldRun) {
  OneCard s;
  SchedulingSpec labels = Needing(1, 10);
  labels.worker_labels = {{"zone", "b"}};
  s.Submit(labels);
  s.Submit(Needing(2, 10));
  SchedulingSpec memory = Needing(1, 10);
  memory.devices[0].min_memory_bytes = 17;
  s.Submit(memory);
  SchedulingSpec kind = OneOf(DeviceKind::kMps);
  kind.priority = 10;
  s.Submit(kind);
  EXPECT_EQ(s.PreemptorOf(s.low), JobId());
}

TEST(Preemption, CountsTheMemoryThatTheVictimUses) {
  OneCard s;
  s.ReportOf("a").devices[0].free_memory_bytes = 3;
  s.Say("a");
  SchedulingSpec spec = Needing(1, 10);
  spec.devices[0].min_memory_bytes = 16;
  s.Submit(spec);
  EXPECT_NE(s.PreemptorOf(s.low), JobId());
}

// Memory that somebody else uses stays used: it is not tried again and again.
TEST(Preemption, IsTriedOnceOnAWorkerWhereItWasInVain) {
  OneCard s;
  s.ReportOf("a").devices[0].free_memory_bytes = 3;
  s.Say("a");
  SchedulingSpec spec = Needing(1, 10);
  spec.devices[0].min_memory_bytes = 16;
  const JobId high = s.Submit(spec);
  s.End(s.low, Outcome::kPreempted);
  EXPECT_EQ(s.StateOf(high), JobState::kQueued);
  EXPECT_EQ(s.WorkerOf(s.low), "a");  // nobody else can use it
  for (int i = 0; i < 5; ++i) {
    s.Grow();
    EXPECT_EQ(s.PreemptorOf(s.low), JobId());
  }
  s.Report("b", {Cuda(0)});
  EXPECT_EQ(s.WorkerOf(high), "b");
}

TEST(Preemption, TakesTheFewestThenTheLowestThenTheYoungest) {
  Yard s;
  s.Report("a", {Cuda(0), Cuda(1)});
  const JobId old = s.Submit(Needing(1, 1));
  const JobId lowest = s.Submit(Needing(1, 0));
  s.Report("b", {Cuda(0), Cuda(1)});
  const JobId wide = s.Submit(Needing(2, 2));
  s.Grow();
  s.Report("c", {Cuda(0), Cuda(1)});
  const JobId young = s.Submit(Needing(1, 1));
  const JobId younger = s.Submit(Needing(1, 3));
  s.Grow();
  const std::vector<JobId> all = {old, lowest, wide, young, younger};
  // One victim, though with a higher priority than some.
  const JobId two = s.Submit(Needing(2, 9));
  EXPECT_THAT(s.Victims(all), UnorderedElementsAre(wide));
  const JobId first = s.Submit(Needing(1, 9));
  EXPECT_EQ(s.PreemptorOf(lowest), first);
  s.Submit(Needing(1, 9));
  EXPECT_THAT(s.Victims(all), UnorderedElementsAre(wide, lowest, young));
  EXPECT_EQ(s.PreemptorOf(wide), two);
}

TEST(Preemption, TakesNoMoreThanItNeedsBesideWhatIsIdle) {
  Yard s;
  s.Report("a", {Cuda(0), Cuda(1), Cuda(2), Cuda(3)});
  const JobId two = s.Submit(Needing(2, 0));
  s.Grow();
  const JobId one = s.Submit(Needing(1, 0));
  s.Grow();
  const JobId high = s.Submit(Needing(2, 5));
  EXPECT_THAT(s.Victims({two, one}), UnorderedElementsAre(one));
  // The idle one is kept meanwhile, whoever comes.
  const JobId other = s.Submit(Needing(1, 5));
  EXPECT_EQ(s.StateOf(other), JobState::kQueued);
  EXPECT_THAT(s.Victims({two, one}), UnorderedElementsAre(two, one));
  ASSERT_TRUE(s.Send("a", {Ended(s.KeyOf(one), Outcome::kPreempted),
                           Is(s.KeyOf(two), Phase::kRunning)})
                  .ok());
  EXPECT_EQ(s.WorkerOf(high), "a");
}

TEST(Preemption, KeepsTheFreedDevicesFromTheVictimAndFromAll) {
  Yard s;
  s.Report("a", {Cuda(0), Cuda(1)});
  const JobId first = s.Submit(Needing(1, 0));
  const JobId second = s.Submit(Needing(1, 0));
  s.Grow(absl::Hours(24));  // aged far over the one that preempts them
  const JobId high = s.Submit(Needing(2, 10));
  const JobId small = s.Submit(Needing(1, 10));
  ASSERT_TRUE(s.Send("a", {Ended(s.KeyOf(first), Outcome::kPreempted),
                           Is(s.KeyOf(second), Phase::kRunning)})
                  .ok());
  EXPECT_EQ(s.StateOf(first), JobState::kQueued);
  EXPECT_EQ(s.StateOf(small), JobState::kQueued);
  s.End(second, Outcome::kPreempted);
  ASSERT_EQ(s.WorkerOf(high), "a");
  EXPECT_EQ(s.DevicesOf(high).size(), 2u);
  EXPECT_EQ(s.StateOf(first), JobState::kQueued);
}

TEST(Preemption, NeverGoesBackAndForth) {
  OneCard s;
  const JobId high = s.Submit(Needing(1, 1));
  s.End(s.low, Outcome::kPreempted);
  ASSERT_EQ(s.WorkerOf(high), "a");
  for (int hour = 0; hour < 100; ++hour) {
    s.Grow(absl::Hours(1));
    EXPECT_EQ(s.PreemptorOf(high), JobId());
  }
}

TEST(Preemption, HappensToAFewAtATimeButToAllOfAWideOnes) {
  Yard s;
  s.policy.preemption.max_at_once = 2;
  std::vector<JobId> low;
  for (const char* worker : {"a", "b"}) {
    s.Report(worker, {Cuda(0), Cuda(1), Cuda(2)});
    for (int i = 0; i < 3; ++i) low.push_back(s.Submit(Needing(1, 0)));
  }
  s.Grow();
  for (int i = 0; i < 3; ++i) s.Submit(Needing(1, 5));
  EXPECT_EQ(s.Victims(low).size(), 2u);
  const JobId wide = s.Submit(Needing(3, 9));
  EXPECT_EQ(s.Victims(low).size(), 2u);
  for (int i = 0; i < 2; ++i) s.End(s.Victims(low)[0], Outcome::kPreempted);
  // The wide one comes first, and smaller ones do not keep it from that.
  EXPECT_EQ(s.cluster.claims().victims(), 3u);
  ASSERT_NE(s.cluster.claims().Find(wide), nullptr);
  EXPECT_EQ(s.cluster.claims().Find(wide)->victims.size(), 3u);
}

TEST(Preemption, EndsInACancelAfterItsGraceAndIsStillNoFailure) {
  OneCard s;
  const JobId high = s.Submit(Needing(1, 10));
  s.now += s.policy.preemption.grace - absl::Milliseconds(1);
  s.Say("a");
  s.Do(Tick{});
  EXPECT_EQ(s.ActionOf("a"), Action::kPreempt);
  s.Wait(absl::Milliseconds(1));
  EXPECT_NE(s.Find<GraceEnded>(), nullptr);
  EXPECT_EQ(s.ActionOf("a"), Action::kCancel);
  s.Wait(absl::Milliseconds(1));
  EXPECT_THAT(s.records, IsEmpty());
  s.End(s.low, Outcome::kCancelled);
  EXPECT_EQ(s.Find<AttemptEnded>()->outcome, Outcome::kPreempted);
  EXPECT_EQ(s.StateOf(s.low), JobState::kQueued);
  EXPECT_EQ(s.cluster.FindJob(s.low)->failures, 0u);
  EXPECT_EQ(s.WorkerOf(high), "a");
}

TEST(Preemption, OfAJobWithARunTimeLimitKeepsBothDeadlines) {
  Yard s;
  s.Report("a", {Cuda(0)});
  SchedulingSpec spec = Needing(1, 0);
  spec.run_time_limit = absl::Minutes(4);
  const JobId low = s.Submit(spec);
  s.Say("a");
  s.Grow();
  s.Submit(Needing(1, 10));
  s.now += absl::Minutes(2);
  s.Say("a");
  s.Do(Tick{});
  EXPECT_NE(s.Find<AttemptOverdue>(), nullptr);
  s.now += absl::Minutes(3);
  s.Say("a");
  s.Do(Tick{});
  EXPECT_NE(s.Find<GraceEnded>(), nullptr);
  EXPECT_THAT(s.cluster.deadlines(), IsEmpty());
  s.End(low, Outcome::kCancelled);
  EXPECT_EQ(s.Find<AttemptEnded>()->failure->category,
            FailureCategory::kTimeLimit);
}

TEST(Preemption, StandsWhenTheOtherJobIsGoneAndKeepsNothingForIt) {
  OneCard s;
  const JobId high = s.Submit(Needing(1, 10));
  s.Do(CancelJob{high, ""});
  EXPECT_EQ(s.ActionOf("a"), Action::kPreempt);
  s.End(s.low, Outcome::kPreempted);
  EXPECT_EQ(s.KeyOf(s.low).attempt, 2u);
  EXPECT_THAT(s.cluster.claims().all(), IsEmpty());
}

TEST(Preemption, StandsWhenTheOtherJobFindsAPlaceElsewhere) {
  OneCard s;
  const JobId high = s.Submit(Needing(1, 10));
  s.Report("b", {Cuda(0)});
  EXPECT_EQ(s.WorkerOf(high), "b");
  EXPECT_EQ(s.ActionOf("a"), Action::kPreempt);
  s.End(s.low, Outcome::kPreempted);
  EXPECT_EQ(s.WorkerOf(s.low), "a");
  EXPECT_THAT(s.cluster.claims().all(), IsEmpty());
}

// What was idle beside the victim is for others then, and in the same pass.
TEST(Preemption, KeepsNothingOnceTheOtherJobHasAPlaceOrIsGone) {
  for (bool placed : {true, false}) {
    Yard s;
    s.Report("a", {Cuda(0), Cuda(1), Cpu()});
    const JobId low = s.Submit(Needing(1, 0));
    s.Grow();
    const JobId high = s.Submit(Needing(2, 10));
    ASSERT_EQ(s.PreemptorOf(low), high);
    const JobId other = s.Submit(Needing(1, 0));
    ASSERT_EQ(s.StateOf(other), JobState::kQueued);
    const uint64_t before = s.cluster.openings();
    if (placed) {
      s.Report("b", {Cuda(0), Cuda(1)});
      EXPECT_EQ(s.WorkerOf(high), "b");
    } else {
      s.Do(CancelJob{high, ""});
    }
    EXPECT_GT(s.cluster.openings(), before);
    EXPECT_EQ(s.WorkerOf(other), "a");
  }
}

TEST(Preemption, OfAJobThatEndsByItselfLeavesItsPlace) {
  OneCard s;
  const JobId high = s.Submit(Needing(1, 10));
  s.End(s.low, Outcome::kSucceeded);
  EXPECT_EQ(s.StateOf(s.low), std::nullopt);
  EXPECT_EQ(s.WorkerOf(high), "a");
  EXPECT_THAT(s.cluster.claims().all(), IsEmpty());
}

// Two queues of the same weight and four cards, all of them held by queue a.
struct TwoQueues : Yard {
  TwoQueues() {
    policy.preemption.by_share = true;
    for (const char* queue : {"a", "b"}) Do(SetQueue{QueueName(queue), {}});
    Report("w", {Cuda(0), Cuda(1), Cuda(2), Cuda(3)});
    for (int i = 0; i < 4; ++i) of_a.push_back(SubmitTo("a"));
    Grow();
  }
  JobId SubmitTo(const std::string& queue) {
    SchedulingSpec spec = Needing(1, 0);
    spec.queue = QueueName(queue);
    return Submit(spec);
  }
  std::vector<JobId> of_a;
};

TEST(PreemptionByShare, IsOffByDefault) {
  TwoQueues s;
  s.policy.preemption.by_share = false;
  s.SubmitTo("b");
  EXPECT_THAT(s.Victims(s.of_a), IsEmpty());
}

TEST(PreemptionByShare, TakesFromWhomHasMoreThanTwiceUntilTheyAreEven) {
  TwoQueues s;
  for (int i = 0; i < 4; ++i) s.SubmitTo("b");
  EXPECT_EQ(s.Victims(s.of_a).size(), 2u);
  for (int round = 0; round < 20; ++round) {
    for (JobId job : s.Victims(s.of_a)) {
      AttemptStatus ended = Ended(s.KeyOf(job), Outcome::kPreempted);
      std::vector<AttemptStatus> all = {ended};
      for (const AttemptKey& key :
           s.cluster.FindWorker(WorkerName("w"))->attempts) {
        if (key != ended.key) all.push_back(Is(key, Phase::kRunning));
      }
      ASSERT_TRUE(s.Send("w", all).ok());
      EXPECT_THAT(s.Find<JobRequeued>()->reason, HasSubstr("queues/b with a"));
    }
    s.Grow();
  }
  EXPECT_THAT(s.Victims(s.of_a), IsEmpty());
  const auto held = [&](const char* queue) {
    return s.cluster.queues()
        .Find(QueueName(queue))
        ->usage.Held(DeviceKind::kCuda);
  };
  EXPECT_EQ(held("a"), 2u);
  EXPECT_EQ(held("b"), 2u);
}

TEST(PreemptionByShare, LeavesASingleDeviceWhereItIs) {
  Yard s;
  s.policy.preemption.by_share = true;
  for (const char* queue : {"a", "b"}) s.Do(SetQueue{QueueName(queue), {}});
  s.Report("w", {Cuda(0)});
  SchedulingSpec spec = Needing(1, 0);
  spec.queue = QueueName("a");
  const JobId job = s.Submit(spec);
  s.Grow();
  spec.queue = QueueName("b");
  s.Submit(spec);
  EXPECT_EQ(s.PreemptorOf(job), JobId());
}

}  // namespace
}  // namespace trainyard::core
