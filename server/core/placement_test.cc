#include "server/core/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

using ::testing::ElementsAre;

struct JudgeCase {
  const char* what;
  DeviceRequest request;
  Labels labels;
  Verdict verdict;
};

TEST(Placement, JudgesAWorkerByStateLabelsDevicesMemoryAndUse) {
  Scenario s;
  s.ReportOf("gpu").labels = {{"zone", "a"}};
  s.Report("gpu", {Cuda(0, 8), Cuda(1, 24), Cpu()});
  SchedulingSpec small = OneOf(DeviceKind::kCuda);
  s.Submit(small);  // takes cuda:0, the smaller one
  const JudgeCase cases[] = {
      {"idle", {DeviceKind::kCpu, 1, 0}, {}, Verdict::kFits},
      {"label", {DeviceKind::kCpu, 1, 0}, {{"zone", "a"}}, Verdict::kFits},
      {"other label",
       {DeviceKind::kCpu, 1, 0},
       {{"zone", "b"}},
       Verdict::kLabels},
      {"no label", {DeviceKind::kCpu, 1, 0}, {{"rack", "1"}}, Verdict::kLabels},
      {"kind", {DeviceKind::kMps, 1, 0}, {}, Verdict::kNoDevice},
      {"count", {DeviceKind::kCuda, 3, 0}, {}, Verdict::kNoDevice},
      {"memory", {DeviceKind::kCuda, 1, 25}, {}, Verdict::kMemory},
      {"memory of both", {DeviceKind::kCuda, 2, 9}, {}, Verdict::kMemory},
      {"memory fits", {DeviceKind::kCuda, 1, 24}, {}, Verdict::kFits},
      {"one is taken", {DeviceKind::kCuda, 2, 0}, {}, Verdict::kBusy},
  };
  for (const JudgeCase& c : cases) {
    EXPECT_EQ(
        Judge(*s.cluster.FindWorker(WorkerName("gpu")), c.request, c.labels),
        c.verdict)
        << c.what;
  }
}

TEST(Placement, PrefersTheFirstAlternativeThatFitsNow) {
  Scenario s;
  s.Report("a", {Cpu()});
  s.Report("b", {Cpu(), Mps()});
  SchedulingSpec spec;
  spec.devices = {{DeviceKind::kCuda, 1, 0},
                  {DeviceKind::kMps, 1, 0},
                  {DeviceKind::kCpu, 1, 0}};
  EXPECT_THAT(s.DevicesOf(s.Submit(spec)), ElementsAre("mps"));
  EXPECT_EQ(s.WorkerOf(s.Submit(spec)), "a");  // the less loaded CPU
  EXPECT_EQ(s.WorkerOf(s.Submit(spec)), "b");
  EXPECT_EQ(s.StateOf(s.Submit(spec)), JobState::kQueued);
}

TEST(Placement, SpreadsOverTheLeastLoadedWorkers) {
  Scenario s;
  s.Report("a", {Cuda(0), Cuda(1)});
  s.Report("b", {Cuda(0), Cuda(1), Cuda(2), Cuda(3)});
  std::vector<std::string> workers;
  for (int i = 0; i < 6; ++i) {
    workers.push_back(s.WorkerOf(s.Submit(OneOf(DeviceKind::kCuda))));
  }
  EXPECT_THAT(workers, ElementsAre("a", "b", "b", "a", "b", "b"));
}

TEST(Placement, TakesTheSmallestDevicesThatSuffice) {
  Scenario s;
  s.Report("a", {Cuda(0, 80), Cuda(1, 8), Cuda(2, 24), Cuda(3, 24)});
  SchedulingSpec spec;
  spec.devices = {{DeviceKind::kCuda, 2, 10}};
  EXPECT_THAT(s.DevicesOf(s.Submit(spec)), ElementsAre("cuda:2", "cuda:3"));
}

TEST(Placement, GoesByPriorityThenAge) {
  Scenario s;
  SchedulingSpec low = OneOf(DeviceKind::kCpu);
  SchedulingSpec high = low;
  high.priority = 5;
  const JobId first = s.Submit(low);
  const JobId second = s.Submit(low);
  const JobId urgent = s.Submit(high);
  std::vector<JobId> order;
  for (const char* worker : {"a", "b", "c"}) {
    s.Report(worker, {Cpu()});
    for (JobId job : {first, second, urgent}) {
      if (s.WorkerOf(job) == worker) order.push_back(job);
    }
  }
  EXPECT_THAT(order, ElementsAre(urgent, first, second));
}

TEST(Placement, AJobThatDoesNotFitHoldsUpNoOther) {
  Scenario s;
  SchedulingSpec cuda = OneOf(DeviceKind::kCuda);
  cuda.priority = 100;
  s.Submit(cuda);
  const JobId cpu = s.Submit(OneOf(DeviceKind::kCpu));
  s.Report("a", {Cpu()});
  EXPECT_EQ(s.WorkerOf(cpu), "a");
}

TEST(Placement, AvoidsTheWorkerOfTheLastFailureWhileAnotherOneFits) {
  Scenario s;
  s.Report("a", {Cpu()});
  SchedulingSpec spec = OneOf(DeviceKind::kCpu);
  spec.backoff = absl::ZeroDuration();
  const JobId job = s.Submit(spec);
  ASSERT_TRUE(s.Send("a", {Failed({job, 1}, FailureCategory::kCrash)}).ok());
  EXPECT_EQ(s.WorkerOf(job), "a");  // better than nothing
  s.Report("b", {Cpu()});
  ASSERT_TRUE(s.Send("a", {Failed({job, 2}, FailureCategory::kCrash)}).ok());
  EXPECT_EQ(s.WorkerOf(job), "b");
}

TEST(Placement, UsesNoWorkerThatDrainsLeavesOrIsSilent) {
  Scenario s;
  s.Report("drained", {Cpu()});
  s.Report("leaving", {Cpu()});
  s.Report("silent", {Cpu()});
  s.Do(DrainWorker{WorkerName("drained")});
  s.ReportOf("leaving").leaving = true;
  ASSERT_TRUE(s.Send("leaving").ok());
  s.Do(DisconnectWorker{WorkerName("silent"), "silent-1"});
  const JobId job = s.Submit(OneOf(DeviceKind::kCpu));
  EXPECT_EQ(s.StateOf(job), JobState::kQueued);
  s.Do(DrainWorker{WorkerName("drained"), false});
  EXPECT_EQ(s.WorkerOf(job), "drained");
}

TEST(Placement, WaitsForFreeMemoryAndGoesOnWhenItIsThere) {
  Scenario s;
  Device device = Cuda(0, 16);
  device.free_memory_bytes = 4;
  s.Report("a", {device});
  SchedulingSpec spec;
  spec.devices = {{DeviceKind::kCuda, 1, 8}};
  const JobId job = s.Submit(spec);
  EXPECT_EQ(s.StateOf(job), JobState::kQueued);
  const uint64_t before = s.cluster.openings();
  device.free_memory_bytes = 7;
  s.Report("a", {device});
  EXPECT_EQ(s.cluster.openings(), before);
  device.free_memory_bytes = 9;
  s.Report("a", {device});
  EXPECT_GT(s.cluster.openings(), before);
  EXPECT_EQ(s.WorkerOf(job), "a");
}

}  // namespace
}  // namespace trainyard::core
