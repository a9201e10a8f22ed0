// The order in which a placement pass offers places, over all queues:
//
//   1. the higher aged priority. A job grows to no more than the highest
//      priority that is waited with, so that age lifts it over those that come
//      before it by priority, and never over those that do by share;
//   2. the queue with the smaller share (usage.h) for its weight;
//   3. in it, the user with the smaller share;
//   4. the older job.
//
//   FairOrder order(cluster.queues(), capacity, now, may_fit);
//   while (const Lane* lane = order.Next()) {
//     if (…its head was placed and the record applied…) order.Refresh(lane);
//     else order.Skip(lane);
//   }
//
// To make it costs lanes; a step costs lanes of the chosen user. Borrows the
// queues; not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "server/core/queues.h"

namespace trainyard::core {

class FairOrder {
 public:
  // Only of lanes that `may_fit` holds of.
  FairOrder(const Queues& queues, const DeviceCounts& capacity, absl::Time now,
            const std::function<bool(const Lane&)>& may_fit);

  // The lane whose head comes next; nullptr: no more.
  const Lane* Next() const;
  // The lane's head was placed: shares and the head are others now.
  void Refresh(const Lane* lane);
  // Nothing of the lane is to be placed any more.
  void Skip(const Lane* lane);

 private:
  // By what queues, and users in a queue, are ordered: aged and bounded
  // priority (negated), share, the oldest job, index among their like.
  using Rank = std::tuple<int64_t, double, QueueKey, size_t>;
  struct LaneEntry {
    const Lane* lane;
    int32_t highest;  // priority that a job waits with
  };
  struct UserEntry {
    const UserAccount* user;
    size_t queue;  // index
    double share = 0;
    std::vector<LaneEntry> lanes = {};
    const Lane* best = nullptr;
    std::optional<Rank> rank = {};  // nullopt: no lane is left
  };
  struct QueueEntry {
    const Queue* queue;
    double share = 0;
    std::set<Rank> users = {};
    std::optional<Rank> rank = {};  // nullopt: no user is left
  };

  void RankUser(size_t index);
  void RankQueue(size_t index);
  void RankAll();
  void Count(int32_t priority);
  void Uncount(int32_t priority);
  // After the lanes of a user changed.
  void Update(size_t user);

  const Queues& queues_;
  const DeviceCounts capacity_;
  const absl::Time now_;
  std::vector<QueueEntry> queue_entries_;
  std::vector<UserEntry> users_;
  std::set<Rank> order_;  // of queues
  absl::flat_hash_map<const UserAccount*, size_t> index_;
  std::map<int32_t, size_t> highest_;  // lanes, by their highest priority
  int64_t bound_ = 0;                  // the highest of all
};

}  // namespace trainyard::core
