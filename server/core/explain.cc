#include "server/core/explain.h"

#include <array>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "server/core/placement.h"

namespace trainyard::core {
namespace {

// Looking at more of the queue than this would hold up the engine.
constexpr size_t kMaxCounted = 10'000;

std::string DescribeRequest(const DeviceRequest& request) {
  const char* kind = request.kind == DeviceKind::kCuda  ? "cuda"
                     : request.kind == DeviceKind::kMps ? "mps"
                                                        : "cpu";
  std::string text = absl::StrCat(request.count, " ", kind);
  if (request.min_memory_bytes > 0) {
    absl::StrAppend(&text, " with ", FormatBytes(request.min_memory_bytes),
                    " free");
  }
  return text;
}

// What of the queue's quota stands against the request; empty: nothing.
// "queues/team holds 1 of the 2 that its quota allows"
std::string DescribeQuota(const Queue& queue, const DeviceRequest& request,
                          absl::Time now) {
  if (QuotaAllows(queue, request, now)) return "";
  const Quota& quota = queue.settings.quota;
  const std::string name = absl::StrCat("queues/", queue.name.value());
  if (quota.running_jobs.has_value() &&
      queue.usage.attempts() >= *quota.running_jobs) {
    return absl::StrCat(name, " runs ", queue.usage.attempts(), " of the ",
                        *quota.running_jobs, " jobs that its quota allows");
  }
  if (quota.device_hours.has_value() &&
      queue.usage.DeviceHours(now) >= *quota.device_hours) {
    return absl::StrCat(
        name, " has used up the ", *quota.device_hours,
        " device-hours of its quota; an administrator may reset them");
  }
  return absl::StrCat(name, " holds ", queue.usage.Held(request.kind),
                      " of the ", quota.devices.at(request.kind),
                      " that its quota allows");
}

// "1 cuda with 8 GiB free: of 3 workers, 2 have too few such devices, 1 is
// busy"
std::string DescribeAlternative(const Cluster& cluster,
                                const DeviceRequest& request,
                                const Labels& labels) {
  std::array<size_t, 7> counts = {};
  for (const auto& [name, worker] : cluster.workers()) {
    ++counts[static_cast<size_t>(Judge(worker, request, labels))];
  }
  const auto count = [&](Verdict verdict) {
    return counts[static_cast<size_t>(verdict)];
  };
  std::vector<std::string> parts;
  const auto add = [&](Verdict verdict, absl::string_view what) {
    if (count(verdict) > 0) parts.push_back(absl::StrCat(count(verdict), what));
  };
  add(Verdict::kFits, " free now");
  add(Verdict::kBusy, " busy");
  add(Verdict::kMemory, " without the memory");
  add(Verdict::kNoDevice, " with too few such devices");
  add(Verdict::kLabels, " without the labels");
  add(Verdict::kClosed, " draining or leaving");
  add(Verdict::kAway, " not connected");
  return absl::StrCat(DescribeRequest(request), ": ",
                      absl::StrJoin(parts, ", "));
}

// Waiting jobs with the same needs that come first; kMaxCounted: or more.
size_t CountAhead(const Job& job, absl::Duration ageing) {
  size_t ahead = 0;
  const QueueKey own = job.queue_key(ageing);
  for (const QueueKey& key : job.lane->waiting) {
    if (!(key < own) || ahead == kMaxCounted) break;
    ++ahead;
  }
  return ahead;
}

std::string ExplainQueued(const Cluster& cluster, const Job& job,
                          absl::Time now) {
  if (job.not_before > now) {
    return absl::StrCat("It waits for ",
                        absl::FormatDuration(absl::Ceil(job.not_before - now,
                                                        absl::Milliseconds(1))),
                        " more before its next attempt.");
  }
  if (cluster.workers().empty()) {
    return "It waits for a worker: none has connected.";
  }
  const Queue& queue = *job.lane->user->queue;
  if (queue.settings.state == QueueState::kClosed) {
    return absl::StrCat("It waits until queues/", queue.name.value(),
                        " is opened again: it is closed.");
  }
  std::vector<std::string> alternatives;
  for (const DeviceRequest& request : job.lane->needs->devices) {
    const std::string quota = DescribeQuota(queue, request, now);
    if (!quota.empty()) {
      alternatives.push_back(
          absl::StrCat(DescribeRequest(request), ": ", quota));
      continue;
    }
    alternatives.push_back(
        DescribeAlternative(cluster, request, job.lane->needs->worker_labels));
  }
  std::string text =
      absl::StrCat("It waits for a worker with ",
                   absl::StrJoin(alternatives, "; or with "), ".");
  // After a placement pass, that is; what is free and fits was kept from it.
  if (FindPlacement(cluster.fleet(), *job.lane->needs, now, {.queue = &queue})
          .has_value()) {
    absl::StrAppend(&text,
                    " What is free is kept for a job that needs several "
                    "devices and has waited longer; a shorter limits.run_time "
                    "may let it pass.");
  }
  if (const size_t ahead = CountAhead(job, cluster.queues().policy().ageing);
      ahead > 0) {
    absl::StrAppend(&text, " ", ahead, ahead == kMaxCounted ? " or more" : "",
                    ahead == 1 ? " job" : " jobs",
                    " of the same user with the same needs come",
                    ahead == 1 ? "s" : "", " first.");
  }
  return text;
}

}  // namespace

std::string Explain(const Cluster& cluster, JobId id, absl::Time now) {
  const Job* job = cluster.FindJob(id);
  if (job == nullptr) return "";
  if (job->attempt == nullptr) return ExplainQueued(cluster, *job, now);
  const std::string where =
      absl::StrCat("workers/", job->attempt->worker.value());
  if (job->cancel_requested) {
    return absl::StrCat("It is being cancelled on ", where, ".");
  }
  if (job->attempt->preemption.has_value()) {
    return absl::StrCat("It is being preempted by jobs/",
                        job->attempt->preemption->by.value(), ".");
  }
  const Worker* worker = cluster.FindWorker(job->attempt->worker);
  if (worker != nullptr && worker->state == WorkerState::kSilent) {
    return absl::StrCat("It was placed on ", where,
                        ", which is not connected; it is held for it.");
  }
  return absl::StrCat(
      job->state == JobState::kRunning ? "It runs on " : "It starts on ", where,
      ".");
}

}  // namespace trainyard::core
