// Reads what sqlite_store keeps of queues.
#pragma once

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/adapters/sqlite.h"
#include "server/core/queues.h"
#include "server/core/types.h"

namespace trainyard::adapters {

// Those that were set up and not deleted.
absl::StatusOr<std::vector<std::pair<core::QueueName, core::QueueSettings>>>
ReadQueues(Database* db);

absl::StatusOr<std::vector<core::AccountPast>> ReadPastUsage(Database* db);

}  // namespace trainyard::adapters
