#include "server/core/fair_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "server/core/scenario.h"

namespace trainyard::core {
namespace {

using ::testing::ElementsAre;

SchedulingSpec JobOf(const std::string& queue, const std::string& user,
                     int32_t priority = 0) {
  SchedulingSpec spec = OneOf(DeviceKind::kCpu);
  spec.queue = QueueName(queue);
  spec.user = UserName(user);
  spec.priority = priority;
  return spec;
}

void MakeQueue(Scenario& s, const std::string& name, double weight) {
  ASSERT_TRUE(s.Do(SetQueue{QueueName(name), {.weight = weight}}).status.ok());
}

// Jobs in the order of their placement, on one more CPU each.
std::vector<JobId> PlaceAll(Scenario& s) {
  std::vector<JobId> order;
  for (int i = 0; s.cluster.CountJobs(JobState::kQueued) > 0; ++i) {
    s.Report(absl::StrCat("cpu-", i), {Cpu()});
    const AttemptPlaced* placed = s.Find<AttemptPlaced>();
    if (placed == nullptr) break;
    for (const Record& record : s.records) {
      if (std::holds_alternative<AttemptPlaced>(record.change)) {
        order.push_back(record.job);
      }
    }
  }
  return order;
}

TEST(FairOrder, QueuesShareByWeight) {
  Scenario s;
  MakeQueue(s, "large", 3);
  MakeQueue(s, "small", 1);
  std::map<JobId, std::string> queue;
  for (int i = 0; i < 12; ++i) {
    queue[s.Submit(JobOf("small", "a"))] = "small";
  }
  for (int i = 0; i < 12; ++i) {
    queue[s.Submit(JobOf("large", "a"))] = "large";
  }
  int large = 0;
  const std::vector<JobId> order = PlaceAll(s);
  ASSERT_EQ(order.size(), 24u);
  for (int i = 0; i < 12; ++i) large += queue[order[i]] == "large" ? 1 : 0;
  EXPECT_EQ(large, 9);
}

TEST(FairOrder, UsersOfAQueueTakeTurnsWhateverTheyFloodItWith) {
  Scenario s;
  std::map<JobId, std::string> user;
  for (int i = 0; i < 8; ++i) user[s.Submit(JobOf("default", "flood"))] = "f";
  for (int i = 0; i < 3; ++i) user[s.Submit(JobOf("default", "late"))] = "l";
  std::string order;
  for (JobId job : PlaceAll(s)) order += user[job];
  EXPECT_EQ(order, "flflflfffff");
}

TEST(FairOrder, WhoUsedMoreLatelyComesLater) {
  Scenario s;
  s.Report("mac", {Cpu()});
  const JobId heavy = s.Submit(JobOf("default", "heavy"));
  ASSERT_TRUE(s.Send("mac", {Is(s.KeyOf(heavy), Phase::kRunning)}).ok());
  const JobId next_heavy = s.Submit(JobOf("default", "heavy"));
  const JobId light = s.Submit(JobOf("default", "light"));
  s.now += absl::Hours(5);
  s.ReportOf("mac").leaving = true;
  ASSERT_TRUE(s.Send("mac", {Ended(s.KeyOf(heavy), Outcome::kSucceeded)}).ok());
  EXPECT_THAT(PlaceAll(s), ElementsAre(light, next_heavy));
}

TEST(FairOrder, PriorityComesBeforeShares) {
  Scenario s;
  MakeQueue(s, "large", 1000);
  const JobId normal = s.Submit(JobOf("large", "a"));
  const JobId urgent = s.Submit(JobOf("default", "b", 1));
  EXPECT_THAT(PlaceAll(s), ElementsAre(urgent, normal));
}

TEST(FairOrder, AnOldJobGrowsPastHigherPriorities) {
  Scenario s({.ageing = absl::Minutes(10)});
  const JobId old = s.Submit(JobOf("default", "a", 0));
  s.now += absl::Minutes(49);
  const JobId urgent = s.Submit(JobOf("default", "b", 5));
  EXPECT_THAT(PlaceAll(s), ElementsAre(urgent, old));

  Scenario later({.ageing = absl::Minutes(10)});
  const JobId older = later.Submit(JobOf("default", "a", 0));
  later.now += absl::Minutes(51);
  const JobId other = later.Submit(JobOf("default", "b", 5));
  EXPECT_THAT(PlaceAll(later), ElementsAre(older, other));
}

TEST(FairOrder, AgeAloneDoesNotBeatASmallerShare) {
  Scenario s({.ageing = absl::Minutes(10)});
  s.Report("mac", {Cpu()});
  s.Submit(JobOf("default", "flood"));
  const JobId flood = s.Submit(JobOf("default", "flood"));
  s.now += absl::Hours(9);
  const JobId late = s.Submit(JobOf("default", "late"));
  EXPECT_THAT(PlaceAll(s), ElementsAre(late, flood));
}

TEST(FairOrder, AClosedQueuePlacesNothingAndADrainingOneTakesNothing) {
  Scenario s;
  MakeQueue(s, "team", 1);
  const JobId job = s.Submit(JobOf("team", "a"));
  s.Do(SetQueue{QueueName("team"), {.state = QueueState::kClosed}});
  s.Report("mac", {Cpu()});
  EXPECT_EQ(s.StateOf(job), JobState::kQueued);
  const Reply closed = s.Do(SubmitJobs{{{.scheduling = JobOf("team", "a")}}});
  EXPECT_EQ(closed.submits[0].status.code(),
            absl::StatusCode::kFailedPrecondition);
  s.Do(SetQueue{QueueName("team"), {.state = QueueState::kDraining}});
  EXPECT_EQ(s.StateOf(job), JobState::kStarting);
  const Reply draining = s.Do(SubmitJobs{{{.scheduling = JobOf("team", "a")}}});
  EXPECT_EQ(draining.submits[0].status.code(),
            absl::StatusCode::kFailedPrecondition);
}

// docs/scheduling.md.
TEST(FairOrder, TheWorkedExampleOfTheDocs) {
  const auto run = [](bool urgent) {
    Scenario s;
    MakeQueue(s, "research", 3);
    MakeQueue(s, "teaching", 1);
    std::map<JobId, std::string> queue;
    const auto submit = [&](const std::string& name, int32_t priority) {
      SchedulingSpec spec = JobOf(name, "a", priority);
      spec.devices[0].kind = DeviceKind::kCuda;
      return s.Submit(spec);
    };
    for (int i = 0; i < 8; ++i) {
      queue[submit("research", 0)] = "R";
      queue[submit("teaching", 0)] = "T";
    }
    if (urgent) queue[submit("teaching", 1)] = "U";
    std::vector<Device> cards;
    for (int i = 0; i < 8; ++i) cards.push_back(Cuda(i));
    s.Report("box", cards);
    std::string order;
    for (const Record& record : s.records) {
      if (std::holds_alternative<AttemptPlaced>(record.change)) {
        order += queue[record.job];
      }
    }
    return order;
  };
  EXPECT_EQ(run(false), "RTRRTRRR");
  EXPECT_EQ(run(true), "URRRTRRR");
}

// ---- against a model that looks at every job each time

struct ModelJob {
  JobId id;
  SchedulingSpec spec;
  absl::Time submitted;
};

// By the words of the header: the first of each queue by priority, user's share
// and age; of those, the first by priority, queue's share and age.
JobId ModelNext(const Scenario& s, const std::vector<ModelJob>& waiting) {
  int32_t highest = -1000;
  for (const ModelJob& job : waiting) {
    highest = std::max(highest, job.spec.priority);
  }
  const absl::Duration ageing = s.policy.order.ageing;
  const DeviceCounts& all = s.cluster.fleet().capacity();
  using Rank = std::tuple<double, double, absl::Time, JobId>;
  std::map<QueueName, Rank> first;
  for (const ModelJob& job : waiting) {
    const Queue& queue = *s.cluster.queues().Find(job.spec.queue);
    const double grown = std::floor(
        job.spec.priority + absl::FDivDuration(s.now - job.submitted, ageing));
    const Rank rank(-std::min<double>(grown, highest),
                    queue.users.at(job.spec.user).usage.Share(all, s.now),
                    job.submitted - job.spec.priority * ageing, job.id);
    const auto [it, added] = first.try_emplace(queue.name, rank);
    if (!added) it->second = std::min(it->second, rank);
  }
  std::vector<Rank> ranks;
  for (auto& [name, rank] : first) {
    const Queue& queue = *s.cluster.queues().Find(name);
    std::get<1>(rank) = queue.usage.Share(all, s.now) / queue.settings.weight;
    ranks.push_back(rank);
  }
  return std::get<JobId>(*std::min_element(ranks.begin(), ranks.end()));
}

TEST(FairOrder, AgreesWithANaiveModel) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    std::mt19937_64 random(seed);
    Scenario s({.ageing = absl::Minutes(7), .half_life = absl::Hours(2)});
    s.policy.preemption.by_priority = false;  // the order alone
    const char* queues[] = {"default", "q1", "q2"};
    MakeQueue(s, "q1", 2.03);
    MakeQueue(s, "q2", 0.51);
    std::vector<ModelJob> waiting;
    for (int step = 0; step < 60; ++step) {
      s.now += absl::Seconds(1 + random() % 600);
      for (uint64_t n = random() % 4; n > 0; --n) {
        const SchedulingSpec spec =
            JobOf(queues[random() % 3], std::string(1, 'a' + random() % 3),
                  static_cast<int32_t>(random() % 5) - 2);
        s.now += absl::Milliseconds(1);
        waiting.push_back({s.Submit(spec), spec, s.now});
      }
      if (waiting.empty() || random() % 2 == 0) continue;
      const JobId expected = ModelNext(s, waiting);
      // A worker of one attempt: the capacity it adds counts for all alike.
      const std::string worker = absl::StrCat("w", step);
      s.Report(worker, {Cpu()});
      const Record& placed = s.records.back();
      ASSERT_TRUE(std::holds_alternative<AttemptPlaced>(placed.change));
      ASSERT_EQ(placed.job, expected) << "seed " << seed << " step " << step;
      std::erase_if(waiting,
                    [&](const ModelJob& job) { return job.id == expected; });
      if (random() % 2 == 0) {
        s.ReportOf(worker).leaving = true;
        s.now += absl::Minutes(random() % 90);
        ASSERT_TRUE(
            s.Send(worker, {Ended(s.KeyOf(expected), Outcome::kSucceeded)})
                .ok());
      }
    }
  }
}

}  // namespace
}  // namespace trainyard::core
