// The ensemble part of validate.h.
#pragma once

#include "absl/status/status.h"
#include "trainyard/v1/ensemble.pb.h"

namespace trainyard::rpc {

// Checks and completes what a job file has below `ensemble`. A member that is
// given by its job may have a model and a config too, as in the spec of a job
// submitted before: resolve_inputs.h compares them.
absl::Status ValidateAndComplete(v1::EnsembleInferenceSpec* ensemble);

}  // namespace trainyard::rpc
