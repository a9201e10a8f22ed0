#include "server/core/placement.h"

#include <algorithm>
#include <utility>

namespace trainyard::core {
namespace {

// Whether a reservation for another job keeps the device.
bool IsKept(const Worker& worker, const Device& device,
            const Constraints& constraints) {
  if (constraints.reservations == nullptr) return false;
  return std::any_of(constraints.reservations->begin(),
                     constraints.reservations->end(),
                     [&](const Reservation& reservation) {
                       return reservation.worker == worker.name &&
                              (constraints.job == JobId() ||
                               reservation.job != constraints.job) &&
                              reservation.devices.contains(device.id) &&
                              (reservation.until == absl::InfiniteFuture() ||
                               constraints.end > reservation.until);
                     });
}

// Of those that fit, the ones with the least memory: the large ones stay for
// those who need them. Fewer than asked for: it does not fit.
std::vector<std::string> PickDevices(const Worker& worker,
                                     const DeviceRequest& request,
                                     const Constraints& constraints) {
  std::vector<const Device*> fitting;
  for (const Device& device : worker.devices) {
    if (device.kind == request.kind && worker.IsIdle(device) &&
        device.free_memory_bytes >= request.min_memory_bytes &&
        !IsKept(worker, device, constraints)) {
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

std::optional<Placement> PlaceOn(const Worker& worker,
                                 const DeviceRequest& request,
                                 const Labels& labels,
                                 const Constraints& constraints) {
  if (Judge(worker, request, labels) != Verdict::kFits) return std::nullopt;
  Placement placement{worker.name, request.kind,
                      PickDevices(worker, request, constraints)};
  if (placement.devices.size() < request.count) return std::nullopt;
  return placement;
}

std::optional<Placement> PlaceAnywhere(const Fleet& fleet,
                                       const DeviceRequest& request,
                                       const Labels& labels,
                                       const Constraints& constraints) {
  std::optional<Placement> last_resort;
  for (const auto& [load, name] : fleet.idle(request.kind)) {
    std::optional<Placement> placement =
        PlaceOn(*fleet.Find(name), request, labels, constraints);
    if (!placement.has_value()) continue;
    if (name != constraints.avoid) return placement;
    last_resort = std::move(placement);
  }
  return last_resort;
}

// When an attempt is over at the latest.
absl::Time LatestEnd(const Cluster& cluster, const AttemptKey& key) {
  const Job* job = cluster.FindJob(key.job);
  if (job == nullptr || job->attempt == nullptr) return absl::InfiniteFuture();
  // A limit counts from the start of the runner, which may yet come.
  return job->attempt->start_time.value_or(job->attempt->place_time) +
         job->run_time_limit;
}

// When the worker has enough devices for the request at the latest, and those
// it has now.
Reservation ReserveOn(const Cluster& cluster, const Worker& worker,
                      const DeviceRequest& request) {
  Reservation reservation{.worker = worker.name};
  std::vector<absl::Time> ends;
  for (const Device& device : worker.devices) {
    if (device.kind != request.kind ||
        device.free_memory_bytes < request.min_memory_bytes) {
      continue;
    }
    const auto holder = worker.holders.find(device.id);
    if (holder == worker.holders.end()) {
      reservation.devices.insert(device.id);
    } else {
      ends.push_back(LatestEnd(cluster, holder->second));
    }
  }
  std::sort(ends.begin(), ends.end());
  const size_t missing = request.count - reservation.devices.size();
  if (missing <= ends.size()) reservation.until = ends[missing - 1];
  return reservation;
}

// What is kept of the worker's idle devices until the victims have stopped;
// nullopt: that would not suffice.
std::optional<Reservation> KeepFor(const Worker& worker, const Claim& claim,
                                   const DeviceRequest& request,
                                   const std::vector<Reservation>& others) {
  size_t coming = 0;
  for (const Device& device : worker.devices) {
    const auto holder = worker.holders.find(device.id);
    if (holder != worker.holders.end() &&
        claim.victims.contains(holder->second) && Suits(device, request)) {
      ++coming;
    }
  }
  Reservation kept{.worker = worker.name, .until = absl::InfinitePast()};
  if (coming >= request.count) return kept;
  DeviceRequest rest = request;
  rest.count -= static_cast<uint32_t>(coming);
  const std::vector<std::string> ids =
      PickDevices(worker, rest, {.reservations = &others});
  if (ids.size() < rest.count) return std::nullopt;
  kept.devices.insert(ids.begin(), ids.end());
  return kept;
}

}  // namespace

bool Suits(const Device& device, const DeviceRequest& request) {
  return device.kind == request.kind &&
         std::max(device.memory_bytes, device.free_memory_bytes) >=
             request.min_memory_bytes;
}

bool HasLabels(const Worker& worker, const Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto it = worker.labels.find(label.first);
    return it != worker.labels.end() && it->second == label.second;
  });
}

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

bool QuotaAllows(const Queue& queue, const DeviceRequest& request,
                 absl::Time now) {
  const Quota& quota = queue.settings.quota;
  if (quota.running_jobs.has_value() &&
      queue.usage.attempts() >= *quota.running_jobs) {
    return false;
  }
  if (quota.device_hours.has_value() &&
      queue.usage.DeviceHours(now) >= *quota.device_hours) {
    return false;
  }
  const auto devices = quota.devices.find(request.kind);
  return devices == quota.devices.end() ||
         queue.usage.Held(request.kind) + request.count <= devices->second;
}

std::optional<Placement> FindPlacement(const Fleet& fleet, const Needs& needs,
                                       absl::Time now,
                                       const Constraints& constraints) {
  for (const DeviceRequest& request : needs.devices) {
    if (constraints.queue != nullptr &&
        !QuotaAllows(*constraints.queue, request, now)) {
      continue;
    }
    std::optional<Placement> placement =
        PlaceAnywhere(fleet, request, needs.worker_labels, constraints);
    if (placement.has_value()) return placement;
  }
  return std::nullopt;
}

std::optional<Reservation> MakeReservation(const Cluster& cluster,
                                           const Job& job, absl::Time now) {
  const Needs& needs = *job.lane->needs;
  for (const DeviceRequest& request : needs.devices) {
    if (!QuotaAllows(*job.lane->user->queue, request, now)) continue;
    std::optional<Reservation> best;
    for (const auto& [name, worker] : cluster.workers()) {
      if (Judge(worker, request, needs.worker_labels) != Verdict::kBusy) {
        continue;
      }
      Reservation reservation = ReserveOn(cluster, worker, request);
      const auto rank = [](const Reservation& it) {
        return std::pair(it.until, -static_cast<int64_t>(it.devices.size()));
      };
      if (!best.has_value() || rank(reservation) < rank(*best)) {
        best = std::move(reservation);
      }
    }
    if (!best.has_value()) continue;
    best->job = job.id;
    return best;
  }
  return std::nullopt;
}

std::vector<Reservation> ReserveClaims(const Cluster& cluster) {
  std::vector<Reservation> reservations;
  for (const auto& [id, claim] : cluster.claims().all()) {
    const Job* job = cluster.FindJob(id);
    const Worker* worker = cluster.FindWorker(claim.worker);
    if (claim.IsMade() || job == nullptr || job->state != JobState::kQueued ||
        worker == nullptr || !worker->IsOpen()) {
      continue;
    }
    const Job* victim = cluster.FindJob(claim.victims.begin()->job);
    for (const DeviceRequest& request : job->lane->needs->devices) {
      if (request.kind != victim->attempt->kind) continue;
      std::optional<Reservation> kept =
          KeepFor(*worker, claim, request, reservations);
      if (!kept.has_value()) continue;
      kept->job = id;
      reservations.push_back(*std::move(kept));
      break;
    }
  }
  return reservations;
}

PlacementPass::PlacementPass(const Cluster* cluster, absl::Time now)
    : cluster_(cluster), now_(now), reservations_(ReserveClaims(*cluster)) {
  for (const auto& [id, claim] : cluster_->claims().all()) {
    const Job* job = cluster_->FindJob(id);
    if (claim.IsMade() && claim.freed == now_ && job != nullptr &&
        job->state == JobState::kQueued && job->not_before <= now_ &&
        job->lane->user->queue->settings.state != QueueState::kClosed) {
      room_made_.push_back(id);
    }
  }
  std::reverse(room_made_.begin(), room_made_.end());
}

std::optional<Record> PlacementPass::Next() {
  while (!room_made_.empty()) {
    const JobId id = room_made_.back();
    room_made_.pop_back();
    std::optional<Record> record = Place(*cluster_->FindJob(id));
    if (record.has_value()) return record;
  }
  if (!cluster_->fleet().HasIdle()) return std::nullopt;
  if (std::exchange(ask_again_, false)) {
    placed_ = false;
    order_.reset();
    fits_.clear();
  }
  if (!order_.has_value()) {
    order_.emplace(cluster_->queues(), cluster_->fleet().capacity(), now_,
                   [this](const Lane& lane) { return MayFit(lane); });
  }
  if (std::exchange(placed_, false)) order_->Refresh();
  while (const Lane* lane = order_->Next()) {
    const Job& job = *cluster_->FindJob(lane->waiting.begin()->job);
    std::optional<Record> record = Place(job);
    if (record.has_value()) {
      placed_ = true;
      return record;
    }
    ReserveFor(job);
    order_->Skip();  // nor does the rest of its lane fit
  }
  return std::nullopt;
}

std::optional<Record> PlacementPass::Place(const Job& job) {
  std::optional<Placement> placement =
      FindPlacement(cluster_->fleet(), *job.lane->needs, now_,
                    {.queue = job.lane->user->queue,
                     .avoid = job.avoid(),
                     .job = job.id,
                     .reservations = &reservations_,
                     .end = now_ + job.run_time_limit});
  if (!placement.has_value()) return std::nullopt;
  ask_again_ = std::erase_if(reservations_, [&](const Reservation& kept) {
                 return kept.job == job.id;
               }) > 0;
  AttemptPlaced change;
  change.attempt = job.last_attempt + 1;
  change.instance = cluster_->FindWorker(placement->worker)->instance;
  change.worker = std::move(placement->worker);
  change.kind = placement->kind;
  change.devices = std::move(placement->devices);
  return Record{.revision = cluster_->revision() + 1,
                .time = now_,
                .job = job.id,
                .change = std::move(change)};
}

bool PlacementPass::MayFit(const Lane& lane) {
  const auto [it, inserted] = fits_.try_emplace(lane.needs, true);
  if (!inserted) return it->second;
  const std::vector<DeviceRequest>& requests = lane.needs->devices;
  const bool wide =
      std::any_of(requests.begin(), requests.end(),
                  [](const DeviceRequest& r) { return r.count > 1; });
  // A pass only fills the fleet: what does not fit at its start never does.
  it->second =
      wide || FindPlacement(cluster_->fleet(), *lane.needs, now_).has_value();
  return it->second;
}

void PlacementPass::ReserveFor(const Job& job) {
  if (now_ - job.queued_since < cluster_->queues().policy().reserve_after) {
    return;
  }
  // For one alone: several could keep most of the fleet idle. And one device is
  // free or not: nothing is gained by keeping it.
  const std::vector<DeviceRequest>& requests = job.lane->needs->devices;
  if (reserved_ ||
      std::all_of(requests.begin(), requests.end(),
                  [](const DeviceRequest& r) { return r.count == 1; })) {
    return;
  }
  std::optional<Reservation> reservation =
      MakeReservation(*cluster_, job, now_);
  if (!reservation.has_value()) return;
  reserved_ = true;
  reservations_.push_back(*std::move(reservation));
}

}  // namespace trainyard::core
