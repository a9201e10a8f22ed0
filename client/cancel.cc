#include "client/cancel.h"

namespace trainyard::client {

void CancelToken::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  // TryCancel does not block; the lock keeps the contexts alive.
  for (grpc::ClientContext* call : calls_) call->TryCancel();
}

bool CancelToken::cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

bool CancelToken::WaitFor(absl::Duration time) const {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&cancelled_), time);
}

CancelToken::Scope::Scope(CancelToken* token, grpc::ClientContext* context)
    : token_(token), context_(context) {
  if (token_ == nullptr) return;
  absl::MutexLock lock(&token_->mutex_);
  token_->calls_.insert(context_);
  if (token_->cancelled_) context_->TryCancel();
}

CancelToken::Scope::~Scope() {
  if (token_ == nullptr) return;
  absl::MutexLock lock(&token_->mutex_);
  token_->calls_.erase(context_);
}

}  // namespace trainyard::client
