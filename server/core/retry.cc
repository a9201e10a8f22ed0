#include "server/core/retry.h"

#include <algorithm>

namespace trainyard::core {
namespace {

struct Rule {
  FailureCategory category;
  bool retryable;
};

constexpr Rule kRules[] = {
    {FailureCategory::kUnknown, true},
    {FailureCategory::kUserError, false},  // it would fail again
    {FailureCategory::kOutOfMemory, true},
    {FailureCategory::kCrash, true},
    {FailureCategory::kInfrastructure, true},
    {FailureCategory::kTimeLimit, false},  // it would take as long again
};

// Evenly spread over 0 to 1, the same in every process and on every platform
// (the finaliser of SplitMix64).
double Spread(const AttemptKey& key) {
  uint64_t x = key.job.value() * 0x9e3779b97f4a7c15u + key.attempt;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) / static_cast<double>(1ull << 53);
}

}  // namespace

bool IsRetryable(FailureCategory category) {
  for (const Rule& rule : kRules) {
    if (rule.category == category) return rule.retryable;
  }
  return true;  // of a newer program: as an unknown one
}

absl::Duration RetryPause(const Job& job, uint32_t doublings,
                          absl::Duration longest) {
  const absl::Duration first = std::max(job.backoff, absl::ZeroDuration());
  const absl::Duration pause =
      std::min(first * (int64_t{1} << std::min(doublings, 30u)), longest);
  const double factor = 1 + kJitter * (2 * Spread(job.attempt_key()) - 1);
  return absl::Trunc(pause * factor, absl::Milliseconds(1));
}

absl::Duration LossPause(const Job& job, uint32_t losses,
                         absl::Duration longest) {
  if (losses < 2) return absl::ZeroDuration();
  return RetryPause(job, losses - 2, longest);
}

}  // namespace trainyard::core
