// Queues between the wire and the core.
//
// Pure; thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/core/cluster.h"
#include "server/core/types.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::rpc {

// Checks the settings of a request and fills in the defaults; what only the
// server tells is passed over. INVALID_ARGUMENT names the field.
absl::StatusOr<core::QueueSettings> ToSettings(const v1::Queue& queue);

// The queue as it stands at `now`, with its users or without.
v1::Queue ToProto(const core::Cluster& cluster, const core::Queue& queue,
                  absl::Time now, bool with_users);

}  // namespace trainyard::rpc
