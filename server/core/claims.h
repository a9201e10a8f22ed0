// Room that is being made for waiting jobs: which attempts stop for whom.
//
//   claims.Add(by, worker, victim);                // it was told to stop
//   claims.Release(by, victim, still_waits, now);  // it stopped
//   claims.Settle(by);                             // it is placed, or over
//
// Not thread-safe.
#pragma once

#include <cstddef>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::core {

// Room on one worker for one job.
struct Claim {
  WorkerName worker = {};
  absl::btree_set<AttemptKey> victims = {};  // not stopped yet
  // When the last of them stopped; the room is the job's at that moment.
  absl::Time freed = absl::InfinitePast();
  // Where room was made before in vain: something else stood in the way, so it
  // is not made there again.
  absl::btree_set<WorkerName> in_vain = {};

  bool IsMade() const { return victims.empty(); }
};

class Claims {
 public:
  using ByJob = absl::btree_map<JobId, Claim>;

  const ByJob& all() const { return claims_; }
  // nullptr: none.
  const Claim* Find(JobId job) const;
  // Attempts that are stopping for other jobs.
  size_t victims() const { return victims_; }

  void Add(JobId by, const WorkerName& worker, const AttemptKey& victim);
  void Release(JobId by, const AttemptKey& victim, bool still_waits,
               absl::Time now);
  // The job wants no room any more. Its victims stop all the same. Whether
  // something was kept for it.
  bool Settle(JobId by);

 private:
  ByJob claims_;
  size_t victims_ = 0;
};

}  // namespace trainyard::core
