#include "server/engine/inbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::engine {
namespace {

struct Weight {
  size_t commands = 1;
  size_t bytes = 0;
};

Weight WeightOf(const Inbox::Item& item) {
  Weight weight;
  const auto* request = std::get_if<Request>(&item);
  if (request == nullptr) return weight;
  const auto* submit = std::get_if<core::SubmitJobs>(&request->command);
  if (submit == nullptr) return weight;
  weight.commands = std::max<size_t>(1, submit->submissions.size());
  for (const core::Submission& submission : submit->submissions) {
    weight.bytes += submission.spec.size();
  }
  return weight;
}

}  // namespace

absl::Status Inbox::Push(Item& item) {
  const Weight weight = WeightOf(item);
  absl::MutexLock lock(&mutex_);
  if (closed_) {
    return absl::UnavailableError("the server is starting or stopping");
  }
  if (items_.size() >= limit_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the server is busy: ", limit_, " commands wait; try again soon"));
  }
  if (!items_.empty() && bytes_ + weight.bytes > limit_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the server is busy: ", bytes_,
                     " bytes of job specs wait; try again soon"));
  }
  bytes_ += weight.bytes;
  items_.push_back(std::move(item));
  return absl::OkStatus();
}

std::vector<Inbox::Item> Inbox::Take(size_t batch, absl::Duration timeout) {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !items_.empty() || awake_ || closed_;
  };
  std::vector<Item> taken;
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
  awake_ = false;
  for (size_t commands = 0; !items_.empty() && commands < batch;) {
    const Weight weight = WeightOf(items_.front());
    commands += weight.commands;
    bytes_ -= weight.bytes;
    taken.push_back(std::move(items_.front()));
    items_.pop_front();
  }
  return taken;
}

void Inbox::Wake() {
  absl::MutexLock lock(&mutex_);
  awake_ = true;
}

void Inbox::Open() {
  absl::MutexLock lock(&mutex_);
  closed_ = false;
}

void Inbox::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool Inbox::closed() const {
  absl::MutexLock lock(&mutex_);
  return closed_;
}

size_t Inbox::size() const {
  absl::MutexLock lock(&mutex_);
  return items_.size();
}

}  // namespace trainyard::engine
