// Why a job waits, for people.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/types.h"

namespace trainyard::core {

// One or more sentences. QUEUED: what it waits for, alternative by alternative.
// STARTING, RUNNING: where it is. Empty for a job that is not live.
std::string Explain(const Cluster& cluster, JobId job, absl::Time now);

}  // namespace trainyard::core
