#include "server/core/queues.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

using ::testing::HasSubstr;

const QueueName kTeam("team");

SchedulingSpec TeamJob(DeviceKind kind, uint32_t count = 1) {
  SchedulingSpec spec;
  spec.queue = kTeam;
  spec.devices = {{kind, count, 0}};
  return spec;
}

void SetQuota(Scenario& s, const Quota& quota) {
  ASSERT_TRUE(s.Do(SetQueue{kTeam, {.quota = quota}}).status.ok());
}

TEST(Queues, AnUnknownQueueIsNamed) {
  Scenario s;
  const Reply reply =
      s.Do(SubmitJobs{{{.scheduling = TeamJob(DeviceKind::kCpu)}}});
  EXPECT_EQ(reply.submits[0].status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(reply.submits[0].status.message()),
              HasSubstr("\"team\""));
}

TEST(Queues, RefusesSettingsThatMeanNothing) {
  Scenario s;
  for (const double weight : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    EXPECT_EQ(s.Do(SetQueue{kTeam, {.weight = weight}}).status.code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(
      s.Do(SetQueue{kTeam, {.quota = {.device_hours = -1}}}).status.code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(s.cluster.queues().Find(kTeam), nullptr);
  s.policy.max_queues = 1;
  EXPECT_EQ(s.Do(SetQueue{kTeam, {}}).status.code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Queues, IsDeletedOnlyWithoutJobs) {
  Scenario s;
  SetQuota(s, {});
  const JobId job = s.Submit(TeamJob(DeviceKind::kCpu));
  EXPECT_EQ(s.Do(DeleteQueue{kTeam}).status.code(),
            absl::StatusCode::kFailedPrecondition);
  s.Do(CancelJob{job, ""});
  EXPECT_TRUE(s.Do(DeleteQueue{kTeam}).status.ok());
  EXPECT_EQ(s.cluster.queues().Find(kTeam), nullptr);
  EXPECT_EQ(s.Do(DeleteQueue{kTeam}).status.code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(s.Do(DeleteQueue{QueueName(kDefaultQueue)}).status.code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Queues, QuotaOfDevicesLeavesTheRestToOthers) {
  Scenario s;
  SetQuota(s, {.devices = {{DeviceKind::kCuda, 2}}});
  s.Report("box", {Cuda(0), Cuda(1), Cuda(2)});
  const JobId wide = s.Submit(TeamJob(DeviceKind::kCuda, 3));
  const JobId first = s.Submit(TeamJob(DeviceKind::kCuda));
  const JobId second = s.Submit(TeamJob(DeviceKind::kCuda));
  const JobId third = s.Submit(TeamJob(DeviceKind::kCuda));
  EXPECT_EQ(s.StateOf(wide), JobState::kQueued);
  EXPECT_EQ(s.StateOf(first), JobState::kStarting);
  EXPECT_EQ(s.StateOf(second), JobState::kStarting);
  EXPECT_EQ(s.StateOf(third), JobState::kQueued);
  EXPECT_EQ(s.StateOf(s.Submit(OneOf(DeviceKind::kCuda))), JobState::kStarting);
  ASSERT_TRUE(s.Send("box", {Ended(s.KeyOf(first), Outcome::kSucceeded)}).ok());
  EXPECT_EQ(s.StateOf(third), JobState::kStarting);
  SetQuota(s, {.devices = {{DeviceKind::kCuda, 0}}});
  const JobId none = s.Submit(TeamJob(DeviceKind::kCuda));
  EXPECT_EQ(s.StateOf(none), JobState::kQueued);
}

TEST(Queues, AJobTakesTheAlternativeThatItsQuotaAllows) {
  Scenario s;
  SetQuota(s, {.devices = {{DeviceKind::kCuda, 0}}});
  s.Report("box", {Cuda(0), Cpu()});
  SchedulingSpec spec = TeamJob(DeviceKind::kCuda);
  spec.devices.push_back({DeviceKind::kCpu, 1, 0});
  EXPECT_THAT(s.DevicesOf(s.Submit(spec)), testing::ElementsAre("cpu"));
}

TEST(Queues, QuotaOfRunningJobs) {
  Scenario s;
  SetQuota(s, {.running_jobs = 1});
  s.Report("box", {Cuda(0), Cuda(1)});
  const JobId first = s.Submit(TeamJob(DeviceKind::kCuda));
  const JobId second = s.Submit(TeamJob(DeviceKind::kCuda));
  EXPECT_EQ(s.StateOf(second), JobState::kQueued);
  ASSERT_TRUE(s.Send("box", {Ended(s.KeyOf(first), Outcome::kSucceeded)}).ok());
  EXPECT_EQ(s.StateOf(second), JobState::kStarting);
}

TEST(Queues, QuotaOfDeviceHoursHoldsUntilItIsReset) {
  Scenario s;
  SetQuota(s, {.device_hours = 2});
  s.Report("box", {Cuda(0), Cuda(1)});
  const JobId first = s.Submit(TeamJob(DeviceKind::kCuda, 2));
  s.now += absl::Minutes(61);
  ASSERT_TRUE(s.Send("box", {Ended(s.KeyOf(first), Outcome::kSucceeded)}).ok());
  const JobId second = s.Submit(TeamJob(DeviceKind::kCuda));
  EXPECT_EQ(s.StateOf(second), JobState::kQueued);
  ASSERT_TRUE(s.Do(ResetQueueHours{kTeam}).status.ok());
  EXPECT_EQ(s.StateOf(second), JobState::kStarting);
  EXPECT_EQ(s.Do(ResetQueueHours{QueueName("none")}).status.code(),
            absl::StatusCode::kNotFound);
}

TEST(Queues, KeepsQuotasWhateverHappens) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    Scenario s;
    SetQuota(s, {.devices = {{DeviceKind::kCuda, 3}, {DeviceKind::kCpu, 1}},
                 .running_jobs = 4});
    s.Report("a", {Cuda(0), Cuda(1), Cuda(2), Cuda(3), Cpu()});
    s.Report("b", {Cuda(0), Cuda(1), Cuda(2), Cuda(3), Cpu()});
    std::vector<JobId> jobs;
    for (int step = 0; step < 200; ++step) {
      s.now += absl::Seconds(random() % 100);
      SchedulingSpec spec =
          TeamJob(random() % 3 == 0 ? DeviceKind::kCpu : DeviceKind::kCuda, 1);
      if (random() % 4 == 0) spec.devices[0].count = 1 + random() % 3;
      if (spec.devices[0].kind == DeviceKind::kCpu) spec.devices[0].count = 1;
      jobs.push_back(s.Submit(spec));
      for (JobId job : jobs) {
        if (s.WorkerOf(job).empty() || random() % 3 != 0) continue;
        ASSERT_TRUE(
            s.Send(s.WorkerOf(job), {Ended(s.KeyOf(job), Outcome::kSucceeded)})
                .ok());
      }
      // By the attempts themselves.
      uint32_t cuda = 0, cpu = 0, running = 0;
      for (JobId job : jobs) {
        if (s.WorkerOf(job).empty()) continue;
        ++running;
        for (const std::string& device : s.DevicesOf(job)) {
          ++(device == "cpu" ? cpu : cuda);
        }
      }
      ASSERT_LE(cuda, 3u);
      ASSERT_LE(cpu, 1u);
      ASSERT_LE(running, 4u);
      const Usage& usage = s.cluster.queues().Find(kTeam)->usage;
      ASSERT_EQ(usage.Held(DeviceKind::kCuda), cuda);
      ASSERT_EQ(usage.attempts(), running);
    }
    EXPECT_GT(jobs.size() - s.cluster.live_jobs(), 20u);
  }
}

TEST(Queues, ForgetsUsersWhoAreLongGone) {
  Queues queues;
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  for (size_t i = 0; i < 5 * Queues::kMaxPastUsers; ++i) {
    AccountPast account{.queue = QueueName(kDefaultQueue),
                        .user = UserName(absl::StrCat("user-", i))};
    account.past[1] = {
        .mean = static_cast<double>(i), .device_seconds = 1, .time = now};
    queues.RestorePast(account, now);
  }
  const Queue& queue = *queues.Find(QueueName(kDefaultQueue));
  EXPECT_LE(queue.users.size(), 2 * Queues::kMaxPastUsers);
  EXPECT_TRUE(queue.users.contains(
      UserName(absl::StrCat("user-", 5 * Queues::kMaxPastUsers - 1))));
  EXPECT_FALSE(queue.users.contains(UserName("user-0")));
}

// ---- reservations

SchedulingSpec Cards(uint32_t count, absl::Duration limit) {
  SchedulingSpec spec = OneOf(DeviceKind::kCuda);
  spec.devices[0].count = count;
  spec.run_time_limit = limit;
  return spec;
}

class ReservationTest : public testing::Test {
 protected:
  // Two cards are busy for an hour, two are free; a job wants all four.
  void SetUp() override {
    s_.Report("box", {Cuda(0), Cuda(1), Cuda(2), Cuda(3)});
    running_ = s_.Submit(Cards(2, absl::Hours(1)));
    ASSERT_TRUE(s_.Send("box", {Is(s_.KeyOf(running_), Phase::kRunning)}).ok());
    wide_ = s_.Submit(Cards(4, absl::Hours(1)));
  }
  Scenario s_{{.reserve_after = absl::Minutes(5)}};
  JobId running_;
  JobId wide_;
};

TEST_F(ReservationTest, ALongJobIsPlacedWhileTheWideOneHasNotWaitedLong) {
  EXPECT_EQ(s_.StateOf(s_.Submit(Cards(1, absl::InfiniteDuration()))),
            JobState::kStarting);
}

TEST_F(ReservationTest, KeepsFreeDevicesForAWideJobThatHasWaited) {
  s_.now += absl::Minutes(6);
  EXPECT_EQ(s_.StateOf(s_.Submit(Cards(1, absl::InfiniteDuration()))),
            JobState::kQueued);
  EXPECT_EQ(s_.StateOf(s_.Submit(Cards(1, absl::Minutes(55)))),
            JobState::kQueued);
  // Over before the hour is.
  const JobId quick = s_.Submit(Cards(1, absl::Minutes(30)));
  EXPECT_EQ(s_.StateOf(quick), JobState::kStarting);
  ASSERT_TRUE(s_.Send("box", {Ended(s_.KeyOf(running_), Outcome::kSucceeded),
                              Ended(s_.KeyOf(quick), Outcome::kSucceeded)})
                  .ok());
  EXPECT_EQ(s_.StateOf(wide_), JobState::kStarting);
}

TEST_F(ReservationTest, OtherWorkersStayOpen) {
  s_.now += absl::Minutes(6);
  const JobId other = s_.Submit(Cards(1, absl::InfiniteDuration()));
  EXPECT_EQ(s_.StateOf(other), JobState::kQueued);
  s_.Report("second", {Cuda(0)});
  EXPECT_EQ(s_.WorkerOf(other), "second");
}

}  // namespace
}  // namespace trainyard::core
