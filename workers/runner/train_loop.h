// The training loop: every step, validation, metrics point and checkpoint of
// one attempt, on one screen.
//
//   absl::StatusOr<RunEnd> end = Train(spec, {&clock, &events, &mailbox});
//
// Runs on the caller's thread and blocks until the end.
#pragma once

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "workers/runner/events.h"
#include "workers/runner/mailbox.h"
#include "workers/runner/spec.h"

namespace trainyard::runner {

// Borrowed; must outlive the call.
struct TrainPorts {
  Clock* clock = nullptr;
  Events* events = nullptr;
  Mailbox* mailbox = nullptr;
};

enum class RunEnd { kFinished, kStopped };

// Trains, and says how it went on the events channel up to `finished` or
// `stopped`; the caller answers an error with `failed`. Never throws.
absl::StatusOr<RunEnd> Train(const Spec& spec, const TrainPorts& ports);

}  // namespace trainyard::runner
