// The training loop: every step, validation, metrics point and checkpoint of
// one attempt, on one screen.
//
//   absl::StatusOr<RunEnd> end = Train(spec, {&clock, &events, &mailbox});
//
// Runs on the caller's thread and blocks until the end.
#pragma once

#include "absl/status/statusor.h"
#include "workers/runner/ports.h"
#include "workers/runner/spec.h"

namespace trainyard::runner {

// Trains, and says how it went on the events channel up to `finished` or
// `stopped`; the caller answers an error with `failed`. Never throws.
absl::StatusOr<RunEnd> Train(const Spec& spec, const RunPorts& ports);

}  // namespace trainyard::runner
