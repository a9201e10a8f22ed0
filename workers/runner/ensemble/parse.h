// The spec's `ensemble` (docs/runner_protocol.md) as options.
#pragma once

#include "absl/status/status.h"
#include "workers/runner/ensemble/options.h"
#include "workers/runner/spec_section.h"

namespace trainyard::runner {

// INVALID_ARGUMENT names the member ("ensemble.members[2].name"), its value and
// what would be right.
absl::Status ParseEnsemble(Section& in, EnsembleOptions* ensemble);

}  // namespace trainyard::runner
