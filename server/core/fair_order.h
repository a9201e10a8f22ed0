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
//     if (…its head was placed and the record applied…) order.Refresh();
//     else order.Skip();
//   }
//
// To make it costs lanes; a step costs queues and the lanes of the chosen user.
// Most passes end after a step or two, so users are put in order only where
// their queue's turn comes. Borrows the queues; not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "server/core/queues.h"

namespace trainyard::core {

class FairOrder {
 public:
  // Only of lanes that `may_fit` holds of.
  FairOrder(const Queues& queues, const DeviceCounts& capacity, absl::Time now,
            const std::function<bool(const Lane&)>& may_fit);

  // The lane whose head comes next; nullptr: no more.
  const Lane* Next();
  // The head of the lane that Next() told last was placed: shares and the head
  // are others now.
  void Refresh();
  // Nothing of the lane that Next() told last is to be placed any more.
  void Skip();

 private:
  // By what users of a queue are ordered: aged and bounded priority (negated),
  // share, the oldest job, index in users_.
  using Rank = std::tuple<int64_t, double, QueueKey, size_t>;
  struct LaneEntry {
    const Lane* lane;
    int32_t highest;  // priority that a job waits with
    QueueKey head;
  };
  // Ranges: [begin, end) of lanes_ and users_.
  struct UserEntry {
    const UserAccount* user;
    size_t begin;
    size_t end;
    std::optional<double> share = {};  // once it was asked for
    int64_t priority = 0;              // bounded, of its best lane
    size_t best = 0;                   // in lanes_
  };
  struct QueueEntry {
    const Queue* queue;
    size_t begin;
    size_t end;
    double share = 0;
    std::optional<int64_t> priority = {};  // of its best; nullopt: no more
    // A heap, least first; nullopt: not its turn yet.
    std::optional<std::vector<Rank>> users = {};
  };

  int64_t PriorityOf(const QueueKey& key) const;
  // The best lane of a user that has some.
  void RankUser(UserEntry& user);
  // From the highest priority that is waited with, all anew.
  void RankAll();
  // The queue's best user.
  const Rank& First(QueueEntry& queue);
  bool IsBefore(QueueEntry& a, QueueEntry& b);
  // After the best lane of the chosen queue changed; `highest` was its own.
  void Update(int32_t highest);
  UserEntry& chosen_user();

  const Queues& queues_;
  const DeviceCounts capacity_;
  const absl::Time now_;
  std::vector<LaneEntry> lanes_;
  std::vector<UserEntry> users_;
  std::vector<QueueEntry> queue_entries_;
  QueueEntry* chosen_ = nullptr;  // by Next()
  int64_t bound_ = 0;             // the highest priority that is waited with
  size_t at_bound_ = 0;           // lanes that have it
  int64_t bound_rank_ = 0;        // of a job that has grown to it
};

}  // namespace trainyard::core
