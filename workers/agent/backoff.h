// Pauses between tries: doubled each time up to a bound, each drawn at random
// from the upper half, so that many workers do not come back at once.
//
//   Backoff backoff({}, seed);
//   while (!Try()) Wait(backoff.Next());
//   backoff.Reset();
//
// Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace trainyard::agent {

struct BackoffOptions {
  absl::Duration first = absl::Milliseconds(100);
  absl::Duration longest = absl::Seconds(3);
};

class Backoff {
 public:
  Backoff(BackoffOptions options, uint32_t seed)
      : options_(options), current_(options.first), random_(seed) {}

  absl::Duration Next() {
    const absl::Duration pause =
        current_ * std::uniform_real_distribution<>(0.5, 1.0)(random_);
    current_ = std::min(current_ * 2, options_.longest);
    return pause;
  }
  void Reset() { current_ = options_.first; }

 private:
  const BackoffOptions options_;
  absl::Duration current_;
  std::minstd_rand random_;
};

}  // namespace trainyard::agent
