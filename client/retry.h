// Tries a call again while the server is away or full, with exponential backoff
// and jitter. What is tried again is the same request, request_id included, so
// a submission whose reply was lost gives the same job.
//
//   absl::Status status = Retry(policy, ports, nullptr, [&] { return Once();
//   });
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "client/cancel.h"

namespace trainyard::client {

struct RetryPolicy {
  int max_attempts = 5;  // the first one included
  absl::Duration first_pause = absl::Milliseconds(100);
  absl::Duration max_pause = absl::Seconds(10);
};

// Where time and chance come from; tests put in their own. The functions must
// be thread-safe.
struct RetryPorts {
  Clock* clock = RealClock();
  std::function<double()> random;  // in [0, 1)
  // Returns early once the token (may be null) is cancelled.
  std::function<void(absl::Duration, const CancelToken*)> sleep;
};

// The system's.
RetryPorts RealRetryPorts();

// UNAVAILABLE and RESOURCE_EXHAUSTED: the call was not carried out, or can be
// repeated under the same request_id.
bool IsRetryable(const absl::Status& status);

// The pauses between tries: doubling, each drawn from the upper half of its
// range. Not thread-safe.
class Backoff {
 public:
  Backoff(const RetryPolicy& policy, std::function<double()> random);
  absl::Duration Next();
  void Reset();

 private:
  const RetryPolicy policy_;
  const std::function<double()> random_;
  absl::Duration pause_;
};

// Calls `once` until it returns something not retryable, the attempts are used
// up or cancel (may be null) is cancelled. Returns its last status.
absl::Status Retry(const RetryPolicy& policy, const RetryPorts& ports,
                   const CancelToken* cancel,
                   const std::function<absl::Status()>& once);

}  // namespace trainyard::client
