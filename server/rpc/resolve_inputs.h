// What a job takes from elsewhere: artifacts, jobs whose models an ensemble
// takes, and what a client is still to upload.
//
//   RETURN_IF_ERROR(ValidateAndComplete(&spec));
//   if (MustResolve(spec)) RETURN_IF_ERROR(ResolveInputs(ports, false, &spec));
//
// Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "server/rpc/ports.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::rpc {

// Whether there is something to look for in the stores, or to refuse.
bool MustResolve(const v1::JobSpec& spec);

// Fills model and config of members that are given by their job from what that
// job left, and looks whether every artifact is there. Uploads are good in a
// dry run, else INVALID_ARGUMENT. NOT_FOUND: a member's job;
// FAILED_PRECONDITION with what to do. Reads the disk: call it on the executor.
absl::Status ResolveInputs(const Ports& ports, bool dry_run, v1::JobSpec* spec);

}  // namespace trainyard::rpc
