#include "server/core/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

TEST(Explain, SaysThatNoWorkerConnected) {
  Scenario s;
  const JobId job = s.Submit(OneOf(DeviceKind::kCpu));
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It waits for a worker: none has connected.");
}

TEST(Explain, TellsEachAlternativeAndWhoComesFirst) {
  Scenario s;
  s.Report("a", {Cuda(0, 4)});
  s.Report("b", {Cpu()});
  s.Report("c", {Cpu()});
  s.Do(DrainWorker{WorkerName("c")});
  s.Submit(OneOf(DeviceKind::kCpu));
  SchedulingSpec spec;
  spec.devices = {{DeviceKind::kCuda, 1, 8}, {DeviceKind::kCpu, 1, 0}};
  s.Submit(spec);
  const JobId job = s.Submit(spec);
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It waits for a worker with 1 cuda with 8 B free: 1 without the "
            "memory, 1 with too few such devices, 1 draining or leaving; or "
            "with 1 cpu: 1 busy, 1 with too few such devices, 1 draining or "
            "leaving. 1 job of the same user with the same needs comes "
            "first.");
}

TEST(Explain, TellsWhatTheQueueHoldsBack) {
  Scenario s;
  const QueueName team("team");
  SchedulingSpec spec = OneOf(DeviceKind::kCpu);
  spec.queue = team;
  s.Report("a", {Cpu()});
  s.Do(SetQueue{team, {.quota = {.devices = {{DeviceKind::kCpu, 0}}}}});
  const JobId job = s.Submit(spec);
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It waits for a worker with 1 cpu: queues/team holds 0 of the 0 "
            "that its quota allows.");
  s.Do(SetQueue{team, {.quota = {.running_jobs = 0}}});
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It waits for a worker with 1 cpu: queues/team runs 0 of the 0 "
            "jobs that its quota allows.");
  s.Do(SetQueue{team, {.quota = {.device_hours = 0}}});
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It waits for a worker with 1 cpu: queues/team has used up the 0 "
            "device-hours of its quota; an administrator may reset them.");
  s.Do(SetQueue{team, {.state = QueueState::kClosed}});
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It waits until queues/team is opened again: it is closed.");
}

TEST(Explain, TellsOfDevicesThatAreKept) {
  Scenario s({.reserve_after = absl::ZeroDuration()});
  s.Report("a", {Cuda(0), Cuda(1)});
  s.Submit(OneOf(DeviceKind::kCuda));
  SchedulingSpec wide = OneOf(DeviceKind::kCuda);
  wide.devices[0].count = 2;
  s.Submit(wide);
  const JobId job = s.Submit(OneOf(DeviceKind::kCuda));
  EXPECT_EQ(s.StateOf(job), JobState::kQueued);
  EXPECT_THAT(Explain(s.cluster, job, s.now),
              testing::HasSubstr("What is free is kept for a job"));
}

TEST(Explain, TellsTheBackoff) {
  Scenario s;
  s.Report("a", {Cpu()});
  const JobId job = s.Submit(OneOf(DeviceKind::kCpu));
  ASSERT_TRUE(s.Send("a", {Failed({job, 1}, FailureCategory::kCrash)}).ok());
  const absl::Time next = s.cluster.FindJob(job)->not_before;
  EXPECT_EQ(Explain(s.cluster, job, next - absl::Milliseconds(800)),
            "It waits for 800ms more before its next attempt.");
}

TEST(Explain, TellsWhereALiveJobIs) {
  Scenario s;
  s.Report("a", {Cpu()});
  const JobId job = s.Submit(OneOf(DeviceKind::kCpu));
  EXPECT_EQ(Explain(s.cluster, job, s.now), "It starts on workers/a.");
  ASSERT_TRUE(s.Send("a", {Is({job, 1}, Phase::kRunning)}).ok());
  EXPECT_EQ(Explain(s.cluster, job, s.now), "It runs on workers/a.");
  s.Do(CancelJob{job, ""});
  EXPECT_EQ(Explain(s.cluster, job, s.now),
            "It is being cancelled on workers/a.");
  EXPECT_EQ(Explain(s.cluster, JobId(77), s.now), "");
}

}  // namespace
}  // namespace trainyard::core
