// From what the store holds to a cluster.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/engine/store.h"

namespace trainyard::engine {

// The store's error, or INTERNAL when what it holds contradicts itself. Workers
// with live attempts are SILENT, last seen `now`.
absl::StatusOr<core::Cluster> LoadCluster(Store& store,
                                          const core::OrderPolicy& order,
                                          absl::Time now);

// Makes `to` know again what the workers of `from` said of themselves, which
// no store holds.
absl::Status CarryWorkersOver(const core::Cluster& from, core::Cluster& to);

}  // namespace trainyard::engine
