// What a run borrows from its process, and how it ends; training and ensembles
// alike.
#pragma once

#include "base/clock.h"
#include "workers/runner/events.h"
#include "workers/runner/mailbox.h"

namespace trainyard::runner {

// Borrowed; must outlive the run.
struct RunPorts {
  Clock* clock = nullptr;
  Events* events = nullptr;
  Mailbox* mailbox = nullptr;
};

enum class RunEnd { kFinished, kStopped };

}  // namespace trainyard::runner
