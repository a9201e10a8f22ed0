#include "server/rpc/transfer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/server_context.h"
#include "server/rpc/grpc_status.h"

namespace trainyard::rpc {

Transfer::Transfer(const Ports& ports, absl::string_view method,
                   absl::Duration idle_limit, TransferSlots* slots,
                   grpc::CallbackServerContext* context)
    : ports_(ports),
      method_(method),
      idle_limit_(idle_limit),
      slots_(slots),
      context_(context) {}

bool Transfer::Open(std::shared_ptr<Transfer> self) {
  ports_.metrics->OnStreamOpened(method_);
  self_ = std::move(self);
  absl::StatusOr<auth::Caller> caller = ports_.guard->Admit(*context_, method_);
  if (!caller.ok()) {
    End(caller.status());
    return false;
  }
  caller_ = *std::move(caller);
  has_slot_ = slots_->used.fetch_add(1) < slots_->limit;
  if (has_slot_) {
    ports_.pulse->Add(self_);
    return true;
  }
  slots_->used.fetch_sub(1);
  End(absl::ResourceExhaustedError(
      absl::StrCat("the server moves ", slots_->limit,
                   " artifacts already: try again later")));
  return false;
}

void Transfer::Done() {
  ports_.pulse->Remove(this);
  if (has_slot_) slots_->used.fetch_sub(1);
  absl::StatusCode code = absl::StatusCode::kUnknown;
  {
    absl::MutexLock lock(&mutex_);
    if (ended_.has_value()) code = ended_->code();
  }
  ports_.metrics->OnStreamEnded(method_, CodeName(code));
  const std::shared_ptr<Transfer> last = std::move(self_);
}

void Transfer::AwaitPeer() {
  absl::MutexLock lock(&mutex_);
  peers_turn_ = true;
  moved_ = ports_.clock->Now();
}

void Transfer::RunOnDisk(std::function<void()> work) {
  bool closing = false;
  {
    absl::MutexLock lock(&mutex_);
    peers_turn_ = false;
    closing = closing_;
  }
  if (closing) return End(StoppingError());
  const bool taken = ports_.executor->Post(
      [self = shared_from_this(), work = std::move(work)] { work(); });
  if (taken) return;
  End(absl::ResourceExhaustedError(
      "too many calls wait for the disk: try again later"));
}

void Transfer::End(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    ended_ = status;
    if (cancelling_) return;  // Cancel finishes the call
  }
  FinishCall(ToGrpcStatus(status));
}

void Transfer::OnPulse(absl::Time now) {
  // What is under way ends with its token.
  const bool good = ports_.guard->StillGood(caller_).ok();
  Cancel(good ? now - idle_limit_ : absl::InfiniteFuture());
}

void Transfer::OnClose() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
  }
  Cancel(absl::InfiniteFuture());
}

void Transfer::Cancel(absl::Time since) {
  {
    absl::MutexLock lock(&mutex_);
    if (!peers_turn_ || moved_ > since || cancelling_) return;
    // The operation under way keeps the call, and with it the context.
    cancelling_ = true;
  }
  context_->TryCancel();
  std::optional<absl::Status> ended;
  {
    absl::MutexLock lock(&mutex_);
    cancelling_ = false;
    ended = ended_;
  }
  if (ended.has_value()) FinishCall(ToGrpcStatus(*ended));
}

}  // namespace trainyard::rpc
