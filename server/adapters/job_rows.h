// Reads jobs from the tables of sqlite_store.
//
//   ASSIGN_OR_RETURN(engine::StoredJob job, ReadJob(db, id, {.spec = true}));
//
// Within the caller's transaction. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/adapters/sqlite.h"
#include "server/engine/store.h"

namespace trainyard::adapters {

struct ReadParts {
  bool spec = true;
};

// NOT_FOUND names the job.
absl::StatusOr<engine::StoredJob> ReadJob(Database* db, core::JobId job,
                                          ReadParts parts);
absl::StatusOr<std::string> ReadSpec(Database* db, core::JobId job);
// Empty where the job has none.
absl::StatusOr<std::string> ReadRequestId(Database* db, core::JobId job);

// Which jobs, in which order.
struct IdQuery {
  // Newest first, ids below this one; none: from the newest.
  core::JobId before;
  // Set: instead in the order of revisions above this one.
  std::optional<core::Revision> after;
  size_t limit = 0;
};
absl::StatusOr<std::vector<core::JobId>> FindJobs(
    Database* db, const engine::JobQuery& filter, const IdQuery& query);

// All jobs that are not final, without specs, by id.
absl::StatusOr<std::vector<engine::StoredJob>> ReadLiveJobs(Database* db);

}  // namespace trainyard::adapters
