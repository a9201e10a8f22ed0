#include "server/core/fair_order.h"

#include <algorithm>
#include <functional>
#include <limits>
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
    const size_t first_user = users_.size();
    for (const auto& [user_name, user] : queue.users) {
      const size_t first_lane = lanes_.size();
      for (const auto& [needs, lane] : user.lanes) {
        if (lane.waiting.empty() || !may_fit(lane)) continue;
        lanes_.push_back(
            {&lane, lane.priorities.rbegin()->first, *lane.waiting.begin()});
      }
      if (lanes_.size() == first_lane) continue;
      users_.push_back(
          {.user = &user, .begin = first_lane, .end = lanes_.size()});
    }
    if (users_.size() == first_user) continue;
    queue_entries_.push_back({.queue = &queue,
                              .begin = first_user,
                              .end = users_.size(),
                              .share = WeightedShare(queue, capacity_, now_)});
  }
  RankAll();
}

const Lane* FairOrder::Next() {
  chosen_ = nullptr;
  for (QueueEntry& queue : queue_entries_) {
    if (!queue.priority.has_value()) continue;
    if (chosen_ == nullptr || IsBefore(queue, *chosen_)) chosen_ = &queue;
  }
  return chosen_ == nullptr ? nullptr : lanes_[chosen_user().best].lane;
}

FairOrder::UserEntry& FairOrder::chosen_user() {
  return users_[std::get<size_t>(First(*chosen_))];
}

// A queue goes by its best user's job. Where its share decides, its users need
// no order yet.
bool FairOrder::IsBefore(QueueEntry& a, QueueEntry& b) {
  if (*a.priority != *b.priority) return *a.priority > *b.priority;
  if (a.share != b.share) return a.share < b.share;
  return std::get<QueueKey>(First(a)) < std::get<QueueKey>(First(b));
}

const FairOrder::Rank& FairOrder::First(QueueEntry& queue) {
  if (!queue.users.has_value()) {
    std::vector<Rank>& ranks = queue.users.emplace();
    for (size_t i = queue.begin; i < queue.end; ++i) {
      UserEntry& user = users_[i];
      if (user.begin == user.end) continue;
      if (!user.share.has_value()) {
        user.share = user.user->usage.Share(capacity_, now_);
      }
      ranks.emplace_back(-user.priority, *user.share, lanes_[user.best].head,
                         i);
    }
    std::make_heap(ranks.begin(), ranks.end(), std::greater<>());
  }
  return queue.users->front();
}

void FairOrder::Refresh() {
  UserEntry& user = chosen_user();
  LaneEntry& entry = lanes_[user.best];
  user.share = user.user->usage.Share(capacity_, now_);
  chosen_->share = WeightedShare(*chosen_->queue, capacity_, now_);
  if (entry.lane->waiting.empty()) return Skip();
  const int32_t highest =
      std::exchange(entry.highest, entry.lane->priorities.rbegin()->first);
  entry.head = *entry.lane->waiting.begin();
  if (entry.highest == bound_) ++at_bound_;
  Update(highest);
}

void FairOrder::Skip() {
  UserEntry& user = chosen_user();
  const int32_t highest = lanes_[user.best].highest;
  lanes_[user.best] = lanes_[--user.end];
  Update(highest);
}

void FairOrder::Update(int32_t highest) {
  if (highest == bound_ && --at_bound_ == 0) return RankAll();
  UserEntry& user = chosen_user();
  std::vector<Rank>& ranks = *chosen_->users;
  std::pop_heap(ranks.begin(), ranks.end(), std::greater<>());
  if (user.begin == user.end) {
    ranks.pop_back();
  } else {
    RankUser(user);
    ranks.back() = {-user.priority, *user.share, lanes_[user.best].head,
                    std::get<size_t>(ranks.back())};
    std::push_heap(ranks.begin(), ranks.end(), std::greater<>());
  }
  chosen_->priority.reset();
  if (!ranks.empty()) chosen_->priority = -std::get<int64_t>(ranks.front());
}

void FairOrder::RankAll() {
  bound_ = std::numeric_limits<int64_t>::min();
  at_bound_ = 0;
  for (const UserEntry& user : users_) {
    for (size_t i = user.begin; i < user.end; ++i) {
      if (lanes_[i].highest > bound_) at_bound_ = 0;
      bound_ = std::max<int64_t>(bound_, lanes_[i].highest);
      if (lanes_[i].highest == bound_) ++at_bound_;
    }
  }
  if (at_bound_ > 0) {
    bound_rank_ = absl::ToUnixMicros(now_) -
                  bound_ * absl::ToInt64Microseconds(queues_.policy().ageing);
  }
  for (QueueEntry& queue : queue_entries_) {
    queue.users.reset();
    queue.priority.reset();
    for (size_t i = queue.begin; i < queue.end; ++i) {
      UserEntry& user = users_[i];
      if (user.begin == user.end) continue;
      RankUser(user);
      queue.priority =
          std::max(queue.priority.value_or(user.priority), user.priority);
    }
  }
}

void FairOrder::RankUser(UserEntry& user) {
  std::optional<std::pair<int64_t, QueueKey>> first;
  for (size_t i = user.begin; i < user.end; ++i) {
    const std::pair<int64_t, QueueKey> rank(-PriorityOf(lanes_[i].head),
                                            lanes_[i].head);
    if (first.has_value() && *first < rank) continue;
    first = rank;
    user.best = i;
    user.priority = -rank.first;
  }
}

int64_t FairOrder::PriorityOf(const QueueKey& key) const {
  if (key.rank <= bound_rank_) return bound_;
  return AgedPriority(key.rank, now_, queues_.policy().ageing);
}

}  // namespace trainyard::core
