#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxRequestId = 64;
constexpr size_t kMaxReasonBytes = 1024;
constexpr size_t kMaxFilterNames = 1000;
constexpr size_t kMaxFilterStates = 64;
constexpr int32_t kMaxPageSize = 1000;

}  // namespace

absl::Status ValidateFilter(const v1::JobFilter& filter) {
  RETURN_IF_ERROR(CheckKnown("filter", filter));
  RETURN_IF_ERROR(CheckCount("filter.states",
                             static_cast<size_t>(filter.states_size()),
                             kMaxFilterStates));
  RETURN_IF_ERROR(CheckCount("filter.names",
                             static_cast<size_t>(filter.names_size()),
                             kMaxFilterNames));
  if (filter.spec_name().size() > 128) {
    return WrongValue("filter.spec_name", Quoted(filter.spec_name()),
                      "the name of a spec, which has at most 128 characters");
  }
  return CheckLabels("filter.labels", filter.labels());
}

absl::Status ValidateRequestId(absl::string_view request_id) {
  if (request_id.size() <= kMaxRequestId &&
      IsPrintableAscii(request_id, /*spaces=*/true)) {
    return absl::OkStatus();
  }
  return WrongValue("request_id", Quoted(request_id),
                    "1 to 64 printable ASCII characters, such as a UUID, or "
                    "empty");
}

absl::Status ValidateSubmit(v1::SubmitJobRequest* request, bool in_batch) {
  RETURN_IF_ERROR(CheckKnown("request", *request));
  RETURN_IF_ERROR(ValidateRequestId(request->request_id()));
  if (in_batch && request->dry_run()) {
    return WrongValue("dry_run", "true",
                      "false in a batch: check with SubmitJob");
  }
  if (!request->has_spec()) return NotSet("spec", "the job to run");
  return ValidateAndComplete(request->mutable_spec());
}

absl::Status ValidateBatch(const v1::BatchSubmitJobsRequest& request) {
  RETURN_IF_ERROR(CheckKnown("request", request));
  return CheckWhole("requests", static_cast<uint64_t>(request.requests_size()),
                    1, kMaxBatch);
}

absl::Status ValidateCancel(const v1::CancelJobRequest& request) {
  if (request.reason().size() <= kMaxReasonBytes) return absl::OkStatus();
  return WrongValue("reason",
                    absl::StrCat(WithCommas(request.reason().size()), " bytes"),
                    "at most 1 KiB");
}

absl::Status ValidateWatch(const v1::WatchJobsRequest& request) {
  RETURN_IF_ERROR(ValidateFilter(request.filter()));
  RETURN_IF_ERROR(
      CheckWhole("from_revision", request.from_revision(), 0, kMaxNumber));
  if (request.until_final() && request.filter().names().empty()) {
    return WrongValue("until_final", "true",
                      "false without filter.names: name the jobs to wait for");
  }
  return absl::OkStatus();
}

absl::Status ValidateTail(uint32_t tail, absl::string_view cursor) {
  if (tail == 0 || cursor.empty()) return absl::OkStatus();
  return WrongValue("tail", absl::StrCat(tail),
                    "0 with a cursor: the cursor says where to go on");
}

absl::StatusOr<size_t> PageSize(int32_t page_size, size_t default_size) {
  if (page_size == 0) return default_size;
  if (page_size >= 1 && page_size <= kMaxPageSize) {
    return static_cast<size_t>(page_size);
  }
  return WrongValue("page_size", absl::StrCat(page_size),
                    absl::StrCat("1 to 1,000, or 0 for ", default_size));
}

}  // namespace trainyard::rpc
