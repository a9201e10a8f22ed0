// Names of resources, page tokens and cursors as the wire has them.
//
//   JobName(core::JobId(17)) == "jobs/17"
//   ASSIGN_OR_RETURN(core::JobId job, ParseJobName("name", request.name()));
//
// Parsing gives INVALID_ARGUMENT with the field, the value and what would be
// right. `field` is the path of the request's field.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/core/types.h"

namespace trainyard::rpc {

// Numbers of jobs and revisions fit a signed 64-bit integer, so that every
// store can hold them.
inline constexpr uint64_t kMaxNumber = INT64_MAX;

std::string JobName(core::JobId job);
std::string WorkerResourceName(const core::WorkerName& worker);
std::string QueueResourceName(const core::QueueName& queue);
// "jobs/N/attempts/M".
std::string AttemptName(const core::AttemptKey& key);

// "jobs/N": N from 1, without sign, spaces or leading zeros.
absl::StatusOr<core::JobId> ParseJobName(absl::string_view field,
                                         absl::string_view text);
// "workers/NAME".
absl::StatusOr<core::WorkerName> ParseWorkerResourceName(
    absl::string_view field, absl::string_view text);

// "queues/NAME".
absl::StatusOr<core::QueueName> ParseQueueResourceName(absl::string_view field,
                                                       absl::string_view text);

// 1 to 63 lower-case letters, digits and '-'.
bool IsWorkerName(absl::string_view text);
bool IsQueueName(absl::string_view text);
// "sha256:" and 64 lower-case hex digits.
bool IsArtifactName(absl::string_view text);

// ListJobs goes on below a job, ListWorkers after a worker. An empty token is
// the first page and gives an empty id.
std::string JobPageToken(core::JobId last);
absl::StatusOr<core::JobId> ParseJobPageToken(absl::string_view token);
std::string WorkerPageToken(const core::WorkerName& last);
absl::StatusOr<core::WorkerName> ParseWorkerPageToken(absl::string_view token);

// StreamLogs and StreamMetrics go on after a position of telemetry::PointStore.
// An empty cursor is position 0: from the start.
std::string Cursor(uint64_t position);
absl::StatusOr<uint64_t> ParseCursor(absl::string_view text);

// The text in quotes, shortened to 100 bytes and with control characters
// escaped: for error messages.
std::string Quoted(absl::string_view text);

}  // namespace trainyard::rpc
