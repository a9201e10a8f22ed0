// Checks what clients send against the comments in proto/trainyard/v1, before
// anything else looks at it. Messages name the field, its value and what would
// be right:
//
//   training.epochs: 2000000: must be 1 to 1,000,000
//
//   RETURN_IF_ERROR(ValidateAndComplete(request->mutable_spec()));
//
// Pure; thread-safe as long as the arguments are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/job_service.pb.h"

namespace trainyard::rpc {

inline constexpr size_t kMaxSpecBytes = size_t{1} << 20;
inline constexpr int kMaxBatch = 10'000;

// Checks every field and fills in the defaults, so that what is stored says in
// full what runs. Fields from a newer client than this server are refused: an
// option passed over would train something else. Jobs and artifacts that it names
// are not looked for. INVALID_ARGUMENT.
absl::Status ValidateAndComplete(v1::JobSpec* spec);

// The names and states in it are checked by convert_job's ToQuery.
absl::Status ValidateFilter(const v1::JobFilter& filter);

// Empty, or 1 to 64 printable ASCII characters.
absl::Status ValidateRequestId(absl::string_view request_id);

// request_id and spec; completes the spec. In a batch dry_run is refused.
absl::Status ValidateSubmit(v1::SubmitJobRequest* request, bool in_batch);
// The number of items; the items themselves are checked one by one.
absl::Status ValidateBatch(const v1::BatchSubmitJobsRequest& request);
// The reason; the name is checked by ParseJobName.
absl::Status ValidateCancel(const v1::CancelJobRequest& request);
absl::Status ValidateWatch(const v1::WatchJobsRequest& request);
// Of StreamLogs and StreamMetrics: tail goes without a cursor.
absl::Status ValidateTail(uint32_t tail, absl::string_view cursor);

// page_size, or `default_size` where it is 0; 1 to 1,000.
absl::StatusOr<size_t> PageSize(int32_t page_size, size_t default_size);

}  // namespace trainyard::rpc
