#include "server/core/fair_order.h"

#include <algorithm>
#include <utility>

namespace trainyard::core {
namespace {

double WeightedShare(const Queue& queue, const DeviceCounts& capacity,
                     absl::Time now) {
  return queue.usage.Share(capacity, now) / queue.settings.weight;
}

}  // namespace

FairOrder::FairOrder(const Queues& queues, const DeviceCounts& capacity,
                     absl::Time now,
                     const std::function<bool(const Lane&)>& may_fit)
    : queues_(queues), capacity_(capacity), now_(now) {
  for (const auto& [queue_name, queue] : queues_.queues()) {
    if (queue.settings.state == QueueState::kClosed || queue.jobs == 0) {
      continue;
    }
    const size_t queue_index = queue_entries_.size();
    queue_entries_.push_back(
        {.queue = &queue, .share = WeightedShare(queue, capacity_, now_)});
    for (const auto& [user_name, user] : queue.users) {
      UserEntry entry{.user = &user, .queue = queue_index};
      for (const auto& [needs, lane] : user.lanes) {
        if (lane.waiting.empty() || !may_fit(lane)) continue;
        entry.lanes.push_back({&lane, lane.priorities.rbegin()->first});
        Count(entry.lanes.back().highest);
      }
      if (entry.lanes.empty()) continue;
      entry.share = user.usage.Share(capacity_, now_);
      index_[&user] = users_.size();
      users_.push_back(std::move(entry));
    }
  }
  RankAll();
}

const Lane* FairOrder::Next() const {
  if (order_.empty()) return nullptr;
  const QueueEntry& queue = queue_entries_[std::get<size_t>(*order_.begin())];
  return users_[std::get<size_t>(*queue.users.begin())].best;
}

void FairOrder::Refresh(const Lane* lane) {
  const size_t index = index_.at(lane->user);
  UserEntry& user = users_[index];
  QueueEntry& queue = queue_entries_[user.queue];
  user.share = user.user->usage.Share(capacity_, now_);
  queue.share = WeightedShare(*queue.queue, capacity_, now_);
  if (lane->waiting.empty()) return Skip(lane);
  for (LaneEntry& entry : user.lanes) {
    if (entry.lane != lane) continue;
    Uncount(entry.highest);
    entry.highest = lane->priorities.rbegin()->first;
    Count(entry.highest);
  }
  Update(index);
}

void FairOrder::Skip(const Lane* lane) {
  const size_t index = index_.at(lane->user);
  UserEntry& user = users_[index];
  const auto it =
      std::find_if(user.lanes.begin(), user.lanes.end(),
                   [&](const LaneEntry& entry) { return entry.lane == lane; });
  if (it == user.lanes.end()) return;
  Uncount(it->highest);
  user.lanes.erase(it);
  Update(index);
}

void FairOrder::Update(size_t user) {
  if (!highest_.empty() && highest_.rbegin()->first != bound_) return RankAll();
  RankUser(user);
  RankQueue(users_[user].queue);
}

void FairOrder::RankAll() {
  if (!highest_.empty()) bound_ = highest_.rbegin()->first;
  for (size_t i = 0; i < users_.size(); ++i) RankUser(i);
  for (size_t i = 0; i < queue_entries_.size(); ++i) RankQueue(i);
}

void FairOrder::RankUser(size_t index) {
  UserEntry& user = users_[index];
  std::set<Rank>& order = queue_entries_[user.queue].users;
  if (user.rank.has_value()) order.erase(*user.rank);
  user.rank.reset();
  for (const LaneEntry& entry : user.lanes) {
    const QueueKey& key = *entry.lane->waiting.begin();
    const int64_t priority =
        std::min(bound_, AgedPriority(key.rank, now_, queues_.policy().ageing));
    const Rank rank(-priority, user.share, key, index);
    if (user.rank.has_value() && *user.rank < rank) continue;
    user.rank = rank;
    user.best = entry.lane;
  }
  if (user.rank.has_value()) order.insert(*user.rank);
}

void FairOrder::RankQueue(size_t index) {
  QueueEntry& queue = queue_entries_[index];
  if (queue.rank.has_value()) order_.erase(*queue.rank);
  queue.rank.reset();
  if (queue.users.empty()) return;
  // A user of it is the first one: it goes by that one's job.
  queue.rank = *queue.users.begin();
  std::get<double>(*queue.rank) = queue.share;
  std::get<size_t>(*queue.rank) = index;
  order_.insert(*queue.rank);
}

void FairOrder::Count(int32_t priority) { ++highest_[priority]; }

void FairOrder::Uncount(int32_t priority) {
  const auto it = highest_.find(priority);
  if (--it->second == 0) highest_.erase(it);
}

}  // namespace trainyard::core
