#include "server/core/explain.h"

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
            "leaving. 1 job with the same needs comes first.");
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
