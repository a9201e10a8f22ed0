// Workers between the wire and the core.
//
//   ASSIGN_OR_RETURN(core::WorkerReport report, FromProto(request));
//   v1::SynchronizeResponse response = ToProto(desired, sequence, heartbeat);
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/core/fleet.h"
#include "server/core/types.h"
#include "trainyard/v1/fleet.pb.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::rpc {

// Checks counts, lengths, characters, doubles, and that phase, outcome, failure
// and outputs agree. applied_revision is left 0: the session knows which
// revision an applied_sequence of its stream was.
absl::StatusOr<core::WorkerReport> FromProto(
    const v1::SynchronizeRequest& request);

// Without specs: the caller adds those of attempts the worker does not report.
v1::SynchronizeResponse ToProto(const core::Desired& desired, uint64_t sequence,
                                absl::Duration heartbeat_interval);

v1::Device ToProto(const core::Device& device);
v1::Worker ToProto(const core::Worker& worker);

}  // namespace trainyard::rpc
