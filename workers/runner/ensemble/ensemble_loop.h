// An ensemble's run: every batch decoded once, predicted by every member,
// fused, written.
//
//   absl::StatusOr<RunEnd> end = RunEnsemble(spec, {&clock, &events,
//   &mailbox});
//
// Runs on the caller's thread, members on threads of their own, and blocks
// until the end.
#pragma once

#include "absl/status/statusor.h"
#include "workers/runner/ports.h"
#include "workers/runner/spec.h"

namespace trainyard::runner {

// Predicts what spec.ensemble asks for, and says how it went on the events
// channel up to `finished` or `stopped`; the caller answers an error with
// `failed`. Never throws.
absl::StatusOr<RunEnd> RunEnsemble(const Spec& spec, const RunPorts& ports);

}  // namespace trainyard::runner
