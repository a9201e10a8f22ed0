// What a job names on the server: artifacts, and jobs whose models an ensemble
// takes.
//
//   RETURN_IF_ERROR(ValidateAndComplete(&spec));
//   if (NamesStored(spec)) RETURN_IF_ERROR(ResolveInputs(ports, &spec));
//
// Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::rpc {

// Whether there is something to look for in the stores.
bool NamesStored(const v1::JobSpec& spec);

// Fills model and config of members that are given by their job from what that
// job left, and looks whether every artifact is there. FAILED_PRECONDITION with
// what to do. Reads the disk: call it on the executor.
absl::Status ResolveInputs(const Ports& ports, v1::JobSpec* spec);

}  // namespace trainyard::rpc
