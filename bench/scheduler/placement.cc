// What a placement costs with a million jobs in the queue, in process: the
// core alone, without store and network.
#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "bench/scheduler/cases.h"
#include "bench/scheduler/measure.h"
#include "bench/scheduler/yard.h"
#include "server/core/command.h"

namespace trainyard::bench {
namespace {

using core::DeviceKind;

constexpr double kJobs = 1'000'000;
constexpr double kWorkers = 1000;
constexpr int kDevices = 2;  // of each worker
constexpr int kQueues = 8;
constexpr int kUsers = 16;  // of each queue
constexpr double kPlacements = 20'000;
constexpr int kBatch = 64;  // devices that come free at once

// 0: not known here.
size_t HeapBytes() {
#ifdef __GLIBC__
  return mallinfo2().uordblks + mallinfo2().hblkhd;
#else
  return 0;
#endif
}

std::vector<core::DeviceRequest> NeedsOf(int which) {
  switch (which % 4) {
    case 0:
      return {{DeviceKind::kCuda, 1, 0}};
    case 1:
      return {{DeviceKind::kCuda, 1, uint64_t{40} << 30}};
    case 2:
      return {{DeviceKind::kCuda, 1, 0}, {DeviceKind::kCpu, 1, 0}};
    default:
      return {{DeviceKind::kCuda, 2, 0}};
  }
}

absl::Status AddQueues(Yard& yard) {
  for (int i = 0; i < kQueues; ++i) {
    core::SetQueue set{core::QueueName(absl::StrCat("queue-", i)), {}};
    set.settings.weight = 1 + i;
    RETURN_IF_ERROR(yard.Do(set));
  }
  return absl::OkStatus();
}

absl::Status AddWorkers(Yard& yard, int workers) {
  for (int i = 0; i < workers; ++i) {
    core::WorkerReport report;
    report.worker = core::WorkerName(absl::StrCat("worker-", i));
    report.instance = "one";
    for (int d = 0; d < kDevices; ++d) {
      core::Device& device = report.devices.emplace_back();
      device.id = absl::StrCat("cuda:GPU-00000000-0000-0000-0000-", d);
      device.kind = DeviceKind::kCuda;
      device.memory_bytes = uint64_t{i % 2 == 0 ? 24u : 141u} << 30;
      device.free_memory_bytes = device.memory_bytes;
    }
    RETURN_IF_ERROR(yard.Do(core::ReportWorker{std::move(report)}));
  }
  return absl::OkStatus();
}

absl::Status AddJobs(Yard& yard, int jobs, std::mt19937& random) {
  for (int done = 0; done < jobs;) {
    core::SubmitJobs submit;
    for (int i = 0; i < 1000 && done < jobs; ++i, ++done) {
      core::Submission& one = submit.submissions.emplace_back();
      one.request_id = absl::StrCat("bench-", done);
      one.name = "bench";
      const uint32_t draw = static_cast<uint32_t>(random());
      one.scheduling.queue =
          core::QueueName(absl::StrCat("queue-", draw % kQueues));
      one.scheduling.user =
          core::UserName(absl::StrCat("user-", draw / 8 % kUsers));
      one.scheduling.devices = NeedsOf(static_cast<int>(draw / 128 % 4));
      one.scheduling.priority = static_cast<int32_t>(draw / 512 % 3);
    }
    RETURN_IF_ERROR(yard.Do(submit));
  }
  return absl::OkStatus();
}

// CPU seconds per placement when `batch` devices come free at a time.
absl::StatusOr<double> Measure(Yard& yard, std::vector<core::JobId>& running,
                               int placements, int batch,
                               std::mt19937& random) {
  absl::Duration taken;
  size_t placed = 0;
  for (int done = 0; done < placements; done += batch) {
    for (int i = 0; i < batch && !running.empty(); ++i) {
      const size_t at = random() % running.size();
      yard.Advance(absl::Milliseconds(1));
      RETURN_IF_ERROR(yard.Finish(running[at]));
      running[at] = running.back();
      running.pop_back();
    }
    const size_t before = running.size();
    const absl::Duration begin = ThreadCpuTime();
    RETURN_IF_ERROR(yard.Place(&running));
    taken += ThreadCpuTime() - begin;
    placed += running.size() - before;
  }
  if (placed == 0) return absl::InternalError("nothing was placed");
  return absl::ToDoubleSeconds(taken) / static_cast<double>(placed);
}

}  // namespace

absl::Status RunPlacement(const SchedulerFlags& flags) {
  std::mt19937 random(1);
  Yard yard;
  const int jobs = flags.Scaled(kJobs, 5000);
  const int workers = flags.Scaled(kWorkers, 20);
  const int placements = std::min(flags.Scaled(kPlacements, 200), jobs / 2);
  RETURN_IF_ERROR(AddQueues(yard));
  RETURN_IF_ERROR(AddWorkers(yard, workers));
  const size_t before = HeapBytes();
  RETURN_IF_ERROR(AddJobs(yard, jobs, random));
  const size_t after = HeapBytes();
  std::vector<core::JobId> running;
  RETURN_IF_ERROR(yard.Place(&running));
  ASSIGN_OR_RETURN(const double batch,
                   Measure(yard, running, placements, kBatch, random));
  ASSIGN_OR_RETURN(const double single,
                   Measure(yard, running, placements, 1, random));
  Print("placement_seconds", single, "CPU s",
        {{"queued", static_cast<double>(
                        yard.cluster().CountJobs(core::JobState::kQueued))},
         {"workers", workers},
         {"queues", kQueues},
         {"users", kQueues * kUsers}});
  Print("placement_seconds_64_at_once", batch, "CPU s");
  if (after == 0) return absl::OkStatus();
  Print("core_bytes_per_queued_job", static_cast<double>(after - before) / jobs,
        "bytes");
  return absl::OkStatus();
}

}  // namespace trainyard::bench
