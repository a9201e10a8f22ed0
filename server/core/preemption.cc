#include "server/core/preemption.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/core/draft.h"
#include "server/core/fair_order.h"
#include "server/core/placement.h"

namespace trainyard::core {
namespace {

// Looking at more than this would hold up the engine.
constexpr size_t kMaxLanes = 16;
constexpr size_t kMaxJobsOfALane = 64;
constexpr size_t kMaxAttempts = 1024;  // for one job

struct Victim {
  const Job* job;
  std::string reason;
  uint32_t devices = 0;  // it holds that suit
};

struct Plan {
  const Worker* worker;
  std::vector<Victim> victims;

  // The smaller one is to be preferred.
  auto Rank() const {
    int32_t priority = victims.front().job->priority;
    int64_t oldest = 0;
    for (const Victim& victim : victims) {
      priority = std::max(priority, victim.job->priority);
      oldest = std::max(oldest,
                        -absl::ToUnixMicros(victim.job->attempt->place_time));
    }
    return std::tuple(victims.size(), priority, oldest);
  }
};

class Search {
 public:
  Search(const Cluster& cluster, const PreemptionPolicy& policy, absl::Time now)
      : cluster_(cluster),
        policy_(policy),
        now_(now),
        kept_(ReserveClaims(cluster)) {
    if (policy_.by_share) Settle();
  }

  // Whether some placed attempt ranks lower than a job of this priority.
  bool AnyBelow(int32_t priority) const {
    return !cluster_.placed().empty() &&
           std::get<0>(*cluster_.placed().begin()) <= HighestVictim(priority);
  }
  std::optional<Plan> PlanFor(const Job& job);

 private:
  int64_t HighestVictim(int32_t priority) const {
    return static_cast<int64_t>(priority) - (policy_.by_share ? 0 : 1);
  }
  std::optional<Plan> PlanFor(const Job& job, const DeviceRequest& request);
  std::optional<Plan> PlanOn(const Worker& worker, const Job& job,
                             const DeviceRequest& request) const;
  // Why the attempt may be stopped for the job; empty: it may not.
  std::string WhyStop(const Job& victim, const Job& job) const;
  std::string WhyByShare(const Queue& victim, const Queue& queue) const;
  bool StaysFair(const Plan& plan, const Job& job,
                 const DeviceRequest& request) const;
  // Fills settled_.
  void Settle();
  Usage& Settled(const Queue& queue) {
    return settled_.try_emplace(&queue, queue.usage).first->second;
  }
  const Usage& Settled(const Queue& queue) const {
    const auto it = settled_.find(&queue);
    return it == settled_.end() ? queue.usage : it->second;
  }
  double Share(const Usage& usage, const Queue& queue) const {
    return usage.Share(cluster_.fleet().capacity(), now_) /
           queue.settings.weight;
  }
  bool IsIdleFor(const Worker& worker, const Device& device,
                 const DeviceRequest& request) const;

  const Cluster& cluster_;
  const PreemptionPolicy& policy_;
  const absl::Time now_;
  const std::vector<Reservation> kept_;
  // Of queues that the exchanges under way are between: as after them.
  std::map<const Queue*, Usage> settled_;
};

// The victim gives back what it holds.
void GiveBack(const Job& victim, Usage& usage, absl::Time now) {
  const LiveAttempt& attempt = *victim.attempt;
  usage.Release(attempt.kind, static_cast<uint32_t>(attempt.devices.size()),
                attempt.place_time, now);
}

void Search::Settle() {
  for (const auto& [id, claim] : cluster_.claims().all()) {
    const Job* job = cluster_.FindJob(id);
    if (claim.IsMade()) continue;
    DeviceKind kind = DeviceKind::kCpu;
    for (const AttemptKey& key : claim.victims) {
      const Job& victim = *cluster_.FindJob(key.job);
      kind = victim.attempt->kind;
      GiveBack(victim, Settled(*victim.lane->user->queue), now_);
    }
    if (job == nullptr || job->state != JobState::kQueued) continue;
    for (const DeviceRequest& request : job->lane->needs->devices) {
      if (request.kind != kind) continue;
      Settled(*job->lane->user->queue).Hold(kind, request.count, now_);
      break;
    }
  }
}

std::string Search::WhyByShare(const Queue& victim, const Queue& queue) const {
  const double theirs = Share(Settled(victim), victim);
  const double ours = Share(Settled(queue), queue);
  if (&victim == &queue || theirs <= PreemptionPolicy::kUnfair * ours) {
    return "";
  }
  return absl::StrFormat(
      "queues/%s with a share of %.2f over queues/%s with "
      "%.2f",
      queue.name.value(), ours, victim.name.value(), theirs);
}

std::string Search::WhyStop(const Job& victim, const Job& job) const {
  const LiveAttempt& attempt = *victim.attempt;
  if (victim.cancel_requested || attempt.IsStopping() ||
      now_ - attempt.place_time < policy_.min_run_time) {
    return "";
  }
  if (policy_.by_priority && victim.priority < job.priority) {
    return absl::StrCat("priority ", job.priority, " over ", victim.priority);
  }
  if (policy_.by_share && victim.priority == job.priority) {
    return WhyByShare(*victim.lane->user->queue, *job.lane->user->queue);
  }
  return "";
}

// As it would be after the exchange, so that nobody takes it back.
bool Search::StaysFair(const Plan& plan, const Job& job,
                       const DeviceRequest& request) const {
  std::map<const Queue*, Usage> theirs;
  for (const Victim& victim : plan.victims) {
    if (victim.job->priority < job.priority) continue;
    const Queue* queue = victim.job->lane->user->queue;
    GiveBack(*victim.job,
             theirs.try_emplace(queue, Settled(*queue)).first->second, now_);
  }
  const Queue& queue = *job.lane->user->queue;
  Usage ours = Settled(queue);
  ours.Hold(request.kind, request.count, now_);
  return std::all_of(theirs.begin(), theirs.end(), [&](const auto& their) {
    return Share(their.second, *their.first) >= Share(ours, queue);
  });
}

bool Search::IsIdleFor(const Worker& worker, const Device& device,
                       const DeviceRequest& request) const {
  if (device.kind != request.kind || !worker.IsIdle(device) ||
      device.free_memory_bytes < request.min_memory_bytes) {
    return false;
  }
  return std::none_of(kept_.begin(), kept_.end(), [&](const Reservation& kept) {
    return kept.worker == worker.name && kept.devices.contains(device.id);
  });
}

// The fewest of the candidates that have `missing` devices together, the first
// ones where there is a choice. Empty: all together have too few.
std::vector<Victim> Choose(std::vector<Victim> candidates, uint32_t missing) {
  std::vector<uint32_t> most;  // devices, largest first
  for (const Victim& candidate : candidates) most.push_back(candidate.devices);
  std::sort(most.rbegin(), most.rend());
  size_t needed = 0;
  for (uint32_t sum = 0; sum < missing; ++needed) {
    if (needed == most.size()) return {};
    sum += most[needed];
  }
  std::vector<Victim> chosen;
  uint32_t sum = 0;
  for (size_t i = 0; i < candidates.size() && chosen.size() < needed; ++i) {
    // Whether the rest can still be had from those that follow.
    std::vector<uint32_t> later;
    for (size_t k = i + 1; k < candidates.size(); ++k) {
      later.push_back(candidates[k].devices);
    }
    std::sort(later.rbegin(), later.rend());
    later.resize(std::min(later.size(), needed - chosen.size() - 1));
    uint32_t best = sum + candidates[i].devices;
    for (uint32_t devices : later) best += devices;
    if (best < missing) continue;
    sum += candidates[i].devices;
    chosen.push_back(std::move(candidates[i]));
  }
  return chosen;
}

std::optional<Plan> Search::PlanOn(const Worker& worker, const Job& job,
                                   const DeviceRequest& request) const {
  const Claim* claim = cluster_.claims().Find(job.id);
  if (!worker.IsOpen() || !HasLabels(worker, job.lane->needs->worker_labels) ||
      (claim != nullptr && (claim->worker == worker.name ||
                            claim->in_vain.contains(worker.name)))) {
    return std::nullopt;
  }
  uint32_t idle = 0;
  std::map<AttemptKey, uint32_t> held;
  for (const Device& device : worker.devices) {
    const auto holder = worker.holders.find(device.id);
    if (IsIdleFor(worker, device, request)) ++idle;
    if (holder != worker.holders.end() && Suits(device, request)) {
      ++held[holder->second];
    }
  }
  // The pass before kept it for somebody else.
  if (idle >= request.count) return std::nullopt;
  std::vector<Victim> candidates;
  for (const auto& [key, devices] : held) {
    const Job* victim = cluster_.FindJob(key.job);
    std::string reason = WhyStop(*victim, job);
    if (!reason.empty()) {
      candidates.push_back({victim, std::move(reason), devices});
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Victim& a, const Victim& b) {
              const auto rank = [](const Victim& victim) {
                return std::tuple(
                    victim.job->priority,
                    -absl::ToUnixMicros(victim.job->attempt->place_time),
                    victim.job->id);
              };
              return rank(a) < rank(b);
            });
  Plan plan{&worker, Choose(std::move(candidates), request.count - idle)};
  if (plan.victims.empty() || !StaysFair(plan, job, request)) {
    return std::nullopt;
  }
  return plan;
}

std::optional<Plan> Search::PlanFor(const Job& job,
                                    const DeviceRequest& request) {
  std::optional<Plan> best;
  absl::flat_hash_set<WorkerName> seen;
  const int64_t oldest_spared =
      -absl::ToUnixMicros(now_ - policy_.min_run_time);
  size_t attempts = 0;
  const Cluster::Placed& placed = cluster_.placed();
  for (auto it = placed.begin(); it != placed.end(); ++it) {
    if (std::get<1>(*it) < oldest_spared) {  // and more of them may follow
      it = placed.lower_bound({std::get<0>(*it), oldest_spared, {}});
      if (it == placed.end()) break;
    }
    const auto& [priority, age, key] = *it;
    if (priority > HighestVictim(job.priority)) break;
    if (++attempts > kMaxAttempts) break;
    const Job& victim = *cluster_.FindJob(key.job);
    const Worker* worker = cluster_.FindWorker(victim.attempt->worker);
    if (victim.attempt->kind != request.kind || worker == nullptr ||
        WhyStop(victim, job).empty() || !seen.insert(worker->name).second) {
      continue;
    }
    std::optional<Plan> plan = PlanOn(*worker, job, request);
    if (!plan.has_value()) continue;
    if (!best.has_value() || plan->Rank() < best->Rank()) {
      best = std::move(plan);
    }
    // They come with the best ones first.
    if (best->victims.size() == 1 && best->victims.front().job == &victim) {
      break;
    }
  }
  return best;
}

std::optional<Plan> Search::PlanFor(const Job& job) {
  for (const DeviceRequest& request : job.lane->needs->devices) {
    if (!QuotaAllows(*job.lane->user->queue, request, now_)) continue;
    std::optional<Plan> plan = PlanFor(job, request);
    if (plan.has_value()) return plan;
  }
  return std::nullopt;
}

// What is being made room for takes its part of a quota only later, so there is
// one such job at a time in a queue that has one.
bool QuotaIsSpokenFor(const Cluster& cluster, const Queue& queue) {
  if (queue.settings.quota == Quota()) return false;
  return std::any_of(cluster.claims().all().begin(),
                     cluster.claims().all().end(), [&](const auto& claim) {
                       const Job* job = cluster.FindJob(claim.first);
                       return !claim.second.IsMade() && job != nullptr &&
                              job->state == JobState::kQueued &&
                              job->lane->user->queue == &queue;
                     });
}

// The first job of the lane that somebody ranks lower than and that no room is
// being made for; nullptr: none.
const Job* FirstAboveAny(const Cluster& cluster, const Search& search,
                         const Lane& lane) {
  if (QuotaIsSpokenFor(cluster, *lane.user->queue)) return nullptr;
  size_t seen = 0;
  for (const QueueKey& key : lane.waiting) {
    if (++seen > kMaxJobsOfALane) break;
    const Job* job = cluster.FindJob(key.job);
    if (!search.AnyBelow(job->priority)) continue;
    const Claim* claim = cluster.claims().Find(job->id);
    if (claim == nullptr || claim->IsMade()) return job;
  }
  return nullptr;
}

std::vector<Record> MakeRecords(const Cluster& cluster, const Plan& plan,
                                const Job& job, absl::Time now,
                                absl::Duration grace) {
  Draft draft(cluster.revision(), now);
  for (const Victim& victim : plan.victims) {
    draft.Add(victim.job->id,
              AttemptPreempted{victim.job->last_attempt,
                               {job.id, victim.reason, now + grace}});
  }
  return draft.Take();
}

}  // namespace

std::vector<Record> Preempt(const Cluster& cluster,
                            const PreemptionPolicy& policy, absl::Time now) {
  const size_t stopping = cluster.claims().victims();
  if (stopping >= policy.max_at_once || cluster.placed().empty() ||
      cluster.CountJobs(JobState::kQueued) == 0 ||
      (!policy.by_priority && !policy.by_share)) {
    return {};
  }
  Search search(cluster, policy, now);
  FairOrder order(cluster.queues(), cluster.fleet().capacity(), now,
                  [&](const Lane& lane) {
                    return search.AnyBelow(lane.priorities.rbegin()->first);
                  });
  for (size_t lanes = 0; lanes < kMaxLanes; ++lanes) {
    const Lane* lane = order.Next();
    if (lane == nullptr) break;
    order.Skip();
    const Job* job = FirstAboveAny(cluster, search, *lane);
    if (job == nullptr) continue;
    const std::optional<Plan> plan = search.PlanFor(*job);
    if (!plan.has_value()) continue;
    if (stopping > 0 && stopping + plan->victims.size() > policy.max_at_once) {
      break;  // smaller ones behind it would keep it waiting
    }
    return MakeRecords(cluster, *plan, *job, now, policy.grace);
  }
  return {};
}

}  // namespace trainyard::core
