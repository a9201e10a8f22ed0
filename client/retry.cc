#include "client/retry.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/time/clock.h"

namespace trainyard::client {

RetryPorts RealRetryPorts() {
  RetryPorts ports;
  ports.random = [] {
    thread_local absl::BitGen bits;
    return absl::Uniform(bits, 0.0, 1.0);
  };
  ports.sleep = [](absl::Duration time, const CancelToken* cancel) {
    if (cancel != nullptr) {
      cancel->WaitFor(time);
    } else {
      absl::SleepFor(time);
    }
  };
  return ports;
}

bool IsRetryable(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

Backoff::Backoff(const RetryPolicy& policy, std::function<double()> random)
    : policy_(policy), random_(std::move(random)), pause_(policy.first_pause) {}

absl::Duration Backoff::Next() {
  const absl::Duration pause = std::min(pause_, policy_.max_pause);
  pause_ = std::min(pause_ * 2, policy_.max_pause);
  return pause * (0.5 + 0.5 * random_());
}

void Backoff::Reset() { pause_ = policy_.first_pause; }

absl::Status Retry(const RetryPolicy& policy, const RetryPorts& ports,
                   const CancelToken* cancel,
                   const std::function<absl::Status()>& once) {
  Backoff backoff(policy, ports.random);
  for (int attempt = 1;; ++attempt) {
    absl::Status status = once();
    if (!IsRetryable(status) || attempt >= policy.max_attempts) return status;
    ports.sleep(backoff.Next(), cancel);
    if (cancel != nullptr && cancel->cancelled()) return status;
  }
}

}  // namespace trainyard::client
