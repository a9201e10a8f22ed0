#include "server/core/queue_summary.h"

#include "gtest/gtest.h"
#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

uint64_t Wanted(const QueueSummary& summary, DeviceKind kind) {
  return summary.wanted_devices[static_cast<size_t>(kind)];
}

SchedulingSpec Cards(uint32_t count, int32_t priority = 0) {
  SchedulingSpec spec;
  spec.priority = priority;
  spec.devices = {{DeviceKind::kCuda, count, 0}, {DeviceKind::kCpu, 1, 0}};
  return spec;
}

TEST(QueueSummary, AnEmptyQueueWaitsForNothing) {
  Scenario s;
  s.Report("mac", {Mps()});
  s.Submit(OneOf(DeviceKind::kMps));
  const QueueSummary summary = Summarize(s.cluster, s.now + absl::Hours(1));
  EXPECT_EQ(summary.oldest_wait, absl::ZeroDuration());
  for (const uint64_t devices : summary.wanted_devices) EXPECT_EQ(devices, 0u);
}

TEST(QueueSummary, CountsDevicesByTheKindAskedForFirst) {
  Scenario s;
  s.Submit(Cards(4));
  s.Submit(Cards(4, 10));
  s.Submit(Cards(1));
  s.Submit(OneOf(DeviceKind::kMps));
  const QueueSummary summary = Summarize(s.cluster, s.now);
  EXPECT_EQ(Wanted(summary, DeviceKind::kCuda), 9u);
  EXPECT_EQ(Wanted(summary, DeviceKind::kMps), 1u);
  EXPECT_EQ(Wanted(summary, DeviceKind::kCpu), 0u);
}

TEST(QueueSummary, TheLongestWaitIsThatOfAnyPriority) {
  Scenario s;
  s.Submit(Cards(1, -5));
  s.Wait(absl::Minutes(1));
  s.Submit(Cards(1, 5));
  s.Submit(OneOf(DeviceKind::kMps));
  s.Wait(absl::Minutes(2));
  EXPECT_EQ(Summarize(s.cluster, s.now).oldest_wait, absl::Minutes(3));
}

TEST(QueueSummary, AJobThatCameBackWaitsAnewAndHidesNobody) {
  Scenario s;
  s.Report("mac", {Mps()});
  const JobId first = s.Submit(OneOf(DeviceKind::kMps));
  ASSERT_TRUE(s.Send("mac", {Is(s.KeyOf(first), Phase::kRunning)}).ok());
  s.now += absl::Minutes(1);
  s.Submit(OneOf(DeviceKind::kMps));
  s.now += absl::Minutes(1);
  // Out of service: what was preempted stays in the queue.
  s.Do(DrainWorker{WorkerName("mac"), true});
  ASSERT_TRUE(s.Send("mac", {Ended(s.KeyOf(first), Outcome::kPreempted)}).ok());
  ASSERT_EQ(s.StateOf(first), JobState::kQueued);
  EXPECT_EQ(Summarize(s.cluster, s.now).oldest_wait, absl::Minutes(1));
  EXPECT_EQ(Wanted(Summarize(s.cluster, s.now), DeviceKind::kMps), 2u);
}

}  // namespace
}  // namespace trainyard::core
