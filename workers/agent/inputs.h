// Turns what a job names as inputs into paths of this machine.
//
//   ASSIGN_OR_RETURN(auto pins, ResolveInputs(roots, &cache, &cancel, spec));
//   … every Source in `spec` is a path now, valid while `pins` lives
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "trainyard/v1/job.pb.h"
#include "workers/agent/cancellation.h"
#include "workers/agent/data_roots.h"
#include "workers/agent/input_cache.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

// Errors name the field. Blocks while artifacts are fetched; one that several
// members of an ensemble name is fetched once. UNIMPLEMENTED: another kind of
// job.
absl::StatusOr<std::vector<InputCache::Pin>> ResolveInputs(
    const DataRoots& roots, InputCache* cache, Cancellation* cancellation,
    v1::JobSpec& spec);

// The failure that an error while preparing stands for: the job's fault where
// it names something impossible, else the machine's.
Failure FailureOf(const absl::Status& status);

}  // namespace trainyard::agent
