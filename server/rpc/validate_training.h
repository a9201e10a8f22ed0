// The training part of validate.h.
#pragma once

#include "absl/status/status.h"
#include "trainyard/v1/training.pb.h"

namespace trainyard::rpc {

// Checks and completes what a job file has below `training`.
absl::Status ValidateAndComplete(v1::TrainingSpec* training);

}  // namespace trainyard::rpc
