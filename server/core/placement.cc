#include "server/core/placement.h"

#include <algorithm>
#include <utility>

namespace trainyard::core {
namespace {

bool HasLabels(const Worker& worker, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto it = worker.labels.find(label.first);
    return it != worker.labels.end() && it->second == label.second;
  });
}

// Of those that fit, the ones with the least memory: the large ones stay for
// those who need them.
std::vector<std::string> PickDevices(const Worker& worker,
                                     const DeviceRequest& request) {
  std::vector<const Device*> fitting;
  for (const Device& device : worker.devices) {
    if (device.kind == request.kind && worker.IsIdle(device) &&
        device.free_memory_bytes >= request.min_memory_bytes) {
      fitting.push_back(&device);
    }
  }
  std::stable_sort(fitting.begin(), fitting.end(),
                   [](const Device* a, const Device* b) {
                     return a->free_memory_bytes < b->free_memory_bytes;
                   });
  std::vector<std::string> ids;
  for (size_t i = 0; i < request.count && i < fitting.size(); ++i) {
    ids.push_back(fitting[i]->id);
  }
  return ids;
}

const Worker* PickWorker(const Fleet& fleet, const DeviceRequest& request,
                         const Labels& labels, const WorkerName& avoid) {
  const Worker* last_resort = nullptr;
  for (const auto& [load, name] : fleet.idle(request.kind)) {
    const Worker* worker = fleet.Find(name);
    if (Judge(*worker, request, labels) != Verdict::kFits) continue;
    if (name != avoid) return worker;
    last_resort = worker;
  }
  return last_resort;
}

}  // namespace

Verdict Judge(const Worker& worker, const DeviceRequest& request,
              const Labels& worker_labels) {
  if (worker.state != WorkerState::kOnline) return Verdict::kAway;
  if (!worker.IsOpen()) return Verdict::kClosed;
  if (!HasLabels(worker, worker_labels)) return Verdict::kLabels;
  uint32_t of_kind = 0;
  uint32_t with_memory = 0;
  uint32_t idle = 0;
  for (const Device& device : worker.devices) {
    if (device.kind != request.kind) continue;
    ++of_kind;
    if (device.free_memory_bytes < request.min_memory_bytes) continue;
    ++with_memory;
    if (worker.IsIdle(device)) ++idle;
  }
  if (of_kind < request.count) return Verdict::kNoDevice;
  if (with_memory < request.count) return Verdict::kMemory;
  return idle < request.count ? Verdict::kBusy : Verdict::kFits;
}

std::optional<Placement> FindPlacement(const Fleet& fleet, const Needs& needs,
                                       const WorkerName& avoid) {
  for (const DeviceRequest& request : needs.devices) {
    const Worker* worker =
        PickWorker(fleet, request, needs.worker_labels, avoid);
    if (worker != nullptr) {
      return Placement{worker->name, PickDevices(*worker, request)};
    }
  }
  return std::nullopt;
}

PlacementPass::PlacementPass(const Cluster* cluster, absl::Time now)
    : cluster_(cluster), now_(now) {
  if (!cluster_->fleet().HasIdle()) return;
  for (const auto& [key, lane] : cluster_->queue().lanes()) PushHead(&lane);
  for (const auto& [not_before, id] : cluster_->queue().delayed()) {
    if (not_before > now_) break;
    const Job* job = cluster_->FindJob(id);
    candidates_.push({job->queue_key(), job->lane, true});
  }
}

std::optional<Record> PlacementPass::Next() {
  if (placed_lane_ != nullptr) PushHead(std::exchange(placed_lane_, nullptr));
  while (!candidates_.empty() && cluster_->fleet().HasIdle()) {
    const Candidate candidate = candidates_.top();
    candidates_.pop();
    const Job* job = cluster_->FindJob(candidate.key.job);
    if (job == nullptr || job->state != JobState::kQueued) {
      // Placed by this pass as the other kind of candidate.
      if (!candidate.delayed) PushHead(candidate.lane);
      continue;
    }
    std::optional<Placement> placement =
        FindPlacement(cluster_->fleet(), candidate.lane->needs, job->avoid());
    if (!placement.has_value()) continue;  // nor does the rest of its lane
    if (!candidate.delayed) placed_lane_ = candidate.lane;
    AttemptPlaced change;
    change.attempt = job->last_attempt + 1;
    change.instance = cluster_->FindWorker(placement->worker)->instance;
    change.worker = std::move(placement->worker);
    change.devices = std::move(placement->devices);
    return Record{.revision = cluster_->revision() + 1,
                  .time = now_,
                  .job = job->id,
                  .change = std::move(change)};
  }
  return std::nullopt;
}

void PlacementPass::PushHead(const Lane* lane) {
  if (lane->waiting.empty()) return;
  candidates_.push({*lane->waiting.begin(), lane, false});
}

}  // namespace trainyard::core
