// The workloads of Kueue's baseline performance test, replayed in virtual time
// on the real core. Its generator (kueue, test/performance/scheduler, baseline)
// makes 5 cohorts of 6 cluster queues with a nominal quota of 20 units each; in
// each cluster queue appear
//
//   350 small  workloads,  1 unit,  0.2 s, priority  50, one each 0.1 s
//   100 medium workloads,  5 units, 0.5 s, priority 100, one each 0.5 s
//    50 large  workloads, 20 units, 1.0 s, priority 200, one each 1.2 s
//
// A cluster queue is a queue of ours with a quota of 20 devices and, so that
// there is nothing but the quota to wait for, a worker of its own with 20
// devices. Cohorts lend what one of their queues leaves idle to the others.
// Queues of ours do not borrow, so a cohort is nothing but six queues; as all
// queues get the same load at the same times, there is little to lend.
//
// The bound: a queue cannot be done before its units times seconds are through
// its quota, nor before the last workload that came is over.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"
#include "bench/scheduler/yard.h"
#include "server/core/command.h"

namespace trainyard::bench {
namespace {

constexpr int kQueues = 5 * 6;
constexpr int kQuota = 20;

struct Class {
  int count;  // in each queue
  uint32_t units;
  int64_t run_milliseconds;
  int32_t priority;
  int64_t interval_milliseconds;
};
constexpr Class kClasses[] = {
    {350, 1, 200, 50, 100}, {100, 5, 500, 100, 500}, {50, 20, 1000, 200, 1200}};

struct Arrival {
  int64_t time;  // milliseconds
  int queue;
  const Class* kind;
};

std::string QueueName(int queue) { return absl::StrCat("queue-", queue); }

int Count(const Class& kind, double scale) {
  return std::clamp(static_cast<int>(kind.count * scale), 1, kind.count);
}

// The first of each class comes at its interval, as by a ticker.
std::vector<Arrival> MakeArrivals(double scale) {
  std::vector<Arrival> arrivals;
  for (int queue = 0; queue < kQueues; ++queue) {
    for (const Class& kind : kClasses) {
      for (int i = 1; i <= Count(kind, scale); ++i) {
        arrivals.push_back({i * kind.interval_milliseconds, queue, &kind});
      }
    }
  }
  std::stable_sort(
      arrivals.begin(), arrivals.end(),
      [](const Arrival& a, const Arrival& b) { return a.time < b.time; });
  return arrivals;
}

// Milliseconds; all queues are alike.
double LowerBound(double scale) {
  double work = 0;
  double last = 0;
  for (const Class& kind : kClasses) {
    const int count = Count(kind, scale);
    work += static_cast<double>(count) * kind.units *
            static_cast<double>(kind.run_milliseconds);
    last =
        std::max(last, static_cast<double>(count * kind.interval_milliseconds +
                                           kind.run_milliseconds));
  }
  return std::max(work / kQuota, last);
}

absl::Status MakeQueues(Yard& yard) {
  for (int i = 0; i < kQueues; ++i) {
    core::SetQueue set{core::QueueName(QueueName(i)), {}};
    set.settings.quota.devices[core::DeviceKind::kCuda] = kQuota;
    RETURN_IF_ERROR(yard.Do(set));
    core::WorkerReport report;
    report.worker = core::WorkerName(absl::StrCat("worker-", i));
    report.instance = "one";
    report.labels["queue"] = QueueName(i);
    for (int d = 0; d < kQuota; ++d) {
      core::Device& device = report.devices.emplace_back();
      device.id = absl::StrCat("cuda:", d);
      device.kind = core::DeviceKind::kCuda;
    }
    RETURN_IF_ERROR(yard.Do(core::ReportWorker{std::move(report)}));
  }
  return absl::OkStatus();
}

core::Submission ToSubmission(const Arrival& arrival) {
  core::Submission submission;
  submission.name = "bench";
  core::SchedulingSpec& scheduling = submission.scheduling;
  scheduling.queue = core::QueueName(QueueName(arrival.queue));
  scheduling.priority = arrival.kind->priority;
  scheduling.worker_labels["queue"] = QueueName(arrival.queue);
  scheduling.devices = {{core::DeviceKind::kCuda, arrival.kind->units, 0}};
  return submission;
}

struct Replay {
  double makespan = 0;  // milliseconds
  double cpu_seconds = 0;
  size_t placements = 0;
};

absl::StatusOr<Replay> Run(double scale) {
  Yard yard;
  RETURN_IF_ERROR(MakeQueues(yard));
  const std::vector<Arrival> arrivals = MakeArrivals(scale);
  absl::flat_hash_map<core::JobId, int64_t> run_time;
  using End = std::pair<int64_t, core::JobId>;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends;
  Replay replay;
  const absl::Duration begin = ThreadCpuTime();
  int64_t now = 0;
  for (auto next = arrivals.begin(); next != arrivals.end() || !ends.empty();) {
    int64_t then = ends.empty() ? next->time : ends.top().first;
    if (next != arrivals.end()) then = std::min(then, next->time);
    yard.Advance(absl::Milliseconds(then - now));
    now = then;
    while (!ends.empty() && ends.top().first == now) {
      RETURN_IF_ERROR(yard.Finish(ends.top().second));
      ends.pop();
    }
    core::SubmitJobs submit;
    core::JobId job = yard.cluster().last_job();
    for (; next != arrivals.end() && next->time == now; ++next) {
      submit.submissions.push_back(ToSubmission(*next));
      job = core::JobId(job.value() + 1);
      run_time[job] = next->kind->run_milliseconds;
    }
    RETURN_IF_ERROR(yard.Do(submit));
    std::vector<core::JobId> placed;
    RETURN_IF_ERROR(yard.Place(&placed));
    for (const core::JobId id : placed) ends.push({now + run_time.at(id), id});
    replay.placements += placed.size();
  }
  if (replay.placements != arrivals.size()) {
    return absl::InternalError(absl::StrCat(
        replay.placements, " of ", arrivals.size(), " workloads were placed"));
  }
  replay.makespan = static_cast<double>(now);
  replay.cpu_seconds = absl::ToDoubleSeconds(ThreadCpuTime() - begin);
  return replay;
}

}  // namespace

absl::Status RunKueue(const SchedulerFlags& flags) {
  ASSIGN_OR_RETURN(const Replay replay, Run(flags.scale));
  const double bound = LowerBound(flags.scale);
  const double placements = static_cast<double>(replay.placements);
  Print("kueue_replay_ratio", replay.makespan / bound, "of the bound",
        {{"workloads", placements},
         {"virtual_seconds", replay.makespan / 1000},
         {"bound_seconds", bound / 1000},
         {"workloads_per_cpu_second", placements / replay.cpu_seconds}});
  return absl::OkStatus();
}

}  // namespace trainyard::bench
