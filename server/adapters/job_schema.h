// The tables of sqlite_store.
#pragma once

#include "absl/types/span.h"

namespace trainyard::adapters {

// For Migrate(). Only ever add steps at the end.
//
// A job's spec and request_id never change and may be large, so they live
// beside the row that does change. There is no index over request_id: the store
// keeps their hashes in memory, because inserting random keys into a large
// index costs more than all the rest of a submit.
absl::Span<const char* const> JobSchema();

}  // namespace trainyard::adapters
