// The waiting jobs. Jobs with the same needs share a lane, so when the head of
// a lane does not fit, none of the lane fits and all of it is skipped: a
// placement pass costs lanes, not jobs.
//
//   Lane* lane = queue.Join(scheduling);   // once per live job
//   queue.Wait(lane, key, not_before, now);
//   queue.Remove(lane, key, not_before);
//
// Not thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/node_hash_map.h"
#include "absl/time/time.h"
#include "server/core/queue_order.h"
#include "server/core/types.h"

namespace trainyard::core {

// What a job needs of one worker.
struct Needs {
  std::vector<DeviceRequest> devices;  // best first
  Labels worker_labels;
};

struct Lane {
  Needs needs;
  absl::btree_set<QueueKey> waiting;  // those that may be placed
  size_t jobs = 0;                    // live jobs with these needs
};

class Queue {
 public:
  // (not_before, job) of a job in its backoff.
  using Delayed = absl::btree_set<std::pair<absl::Time, JobId>>;

  // The lane for these needs, with one more job. Stays valid until Leave().
  Lane* Join(const SchedulingSpec& scheduling);
  void Leave(Lane* lane);

  void Wait(Lane* lane, const QueueKey& key, absl::Time not_before,
            absl::Time now);
  void Remove(Lane* lane, const QueueKey& key, absl::Time not_before);
  // The first job whose backoff is over at `now`, taken out of delayed(); none:
  // an empty id. The caller puts it into its lane with Wait().
  JobId TakeDue(absl::Time now);

  const absl::node_hash_map<std::string, Lane>& lanes() const { return lanes_; }
  const Delayed& delayed() const { return delayed_; }

 private:
  absl::node_hash_map<std::string, Lane> lanes_;
  Delayed delayed_;
};

}  // namespace trainyard::core
