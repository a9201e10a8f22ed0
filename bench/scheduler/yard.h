// A cluster that decides, applies and places as the engine does, without
// store, thread and clock.
//
//   Yard yard;
//   RETURN_IF_ERROR(yard.Do(core::SubmitJobs{…}));
//   std::vector<core::JobId> placed;
//   RETURN_IF_ERROR(yard.Place(&placed));
//   yard.Advance(absl::Seconds(1));
//   RETURN_IF_ERROR(yard.Finish(placed[0]));
//
// Not thread-safe.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/decide.h"

namespace trainyard::bench {

class Yard {
 public:
  explicit Yard(const core::Policy& policy = {})
      : policy_(policy), cluster_(policy.order) {}

  // OK when all of it was accepted.
  absl::Status Do(const core::Command& command);
  // Places all that fits; the placed jobs are added to `placed`.
  absl::Status Place(std::vector<core::JobId>* placed);
  // Its worker says that the job's attempt succeeded.
  absl::Status Finish(core::JobId job);

  void Advance(absl::Duration duration) { now_ += duration; }
  absl::Time now() const { return now_; }
  const core::Cluster& cluster() const { return cluster_; }

 private:
  const core::Policy policy_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  core::Cluster cluster_;
};

}  // namespace trainyard::bench
