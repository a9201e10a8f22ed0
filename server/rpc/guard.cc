#include "server/rpc/guard.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace trainyard::rpc {
namespace {

constexpr int kLinesPerSecond = 10;
constexpr char kHeader[] = "authorization";

absl::StatusOr<absl::string_view> Authorization(
    const grpc::ServerContextBase& context) {
  const auto [begin, end] = context.client_metadata().equal_range(kHeader);
  if (begin == end) return absl::string_view();
  if (std::next(begin) != end) {
    return absl::UnauthenticatedError("authorization: must be there once");
  }
  return absl::string_view(begin->second.data(), begin->second.size());
}

}  // namespace

absl::StatusOr<auth::Caller> Guard::Admit(
    const grpc::ServerContextBase& context, absl::string_view method) {
  const absl::StatusOr<absl::string_view> header = Authorization(context);
  absl::StatusOr<auth::Caller> caller =
      header.ok() ? authority_->Identify(*header) : header.status();
  if (caller.ok()) {
    if (absl::Status right = auth::CheckRight(*caller, method); !right.ok()) {
      caller = std::move(right);
    }
  }
  if (!caller.ok()) Note(context, method, caller.status());
  return caller;
}

void Guard::Note(const grpc::ServerContextBase& context,
                 absl::string_view method, const absl::Status& denied) {
  uint64_t left_out = 0;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = clock_->Now();
    if (now - second_ >= absl::Seconds(1)) {
      second_ = now;
      lines_ = 0;
    }
    if (++lines_ > kLinesPerSecond) {
      ++left_out_;
      return;
    }
    left_out = left_out_;
    left_out_ = 0;
  }
  if (left_out > 0) {
    spdlog::warn("audit: {} more denied calls are not listed", left_out);
  }
  spdlog::warn("audit: denied {} to {}: {}", std::string(method),
               context.peer(), std::string(denied.message()));
}

absl::Status CheckIsWorker(const auth::Caller& caller,
                           absl::string_view worker) {
  if (caller.token_id.empty() || caller.worker == worker) {
    return absl::OkStatus();
  }
  absl::Status denied = absl::PermissionDeniedError(absl::StrCat(
      "worker: \"", absl::CHexEscape(worker.substr(0, 64)), "\": token ",
      caller.token_id, " is for worker \"", caller.worker, "\""));
  spdlog::warn("audit: denied to a worker: {}", std::string(denied.message()));
  return denied;
}

}  // namespace trainyard::rpc
