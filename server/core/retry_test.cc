#include "server/core/retry.h"

#include <gtest/gtest.h>

#include <set>

namespace trainyard::core {
namespace {

Job MakeJob(uint64_t id, uint32_t attempt) {
  Job job;
  job.id = JobId(id);
  job.last_attempt = attempt;
  job.backoff = absl::Seconds(10);
  return job;
}

TEST(Retry, IsForWhatMayGoOtherwiseTheNextTime) {
  struct Case {
    FailureCategory category;
    bool retryable;
  };
  const Case cases[] = {{FailureCategory::kUnknown, true},
                        {FailureCategory::kUserError, false},
                        {FailureCategory::kOutOfMemory, true},
                        {FailureCategory::kCrash, true},
                        {FailureCategory::kInfrastructure, true},
                        {FailureCategory::kTimeLimit, false},
                        {static_cast<FailureCategory>(99), true}};
  for (const Case& c : cases) {
    EXPECT_EQ(IsRetryable(c.category), c.retryable)
        << static_cast<int>(c.category);
  }
}

TEST(RetryPause, DoublesUpToTheLongestWithJitterAround) {
  const Job job = MakeJob(1, 1);
  for (uint32_t doublings : {0u, 1u, 5u, 6u, 31u, 1000u}) {
    const absl::Duration base = doublings < 6
                                    ? absl::Seconds(10) * (1 << doublings)
                                    : absl::Minutes(10);
    const absl::Duration pause = RetryPause(job, doublings, absl::Minutes(10));
    EXPECT_GE(pause, base * 0.8) << doublings;
    EXPECT_LE(pause, base * 1.2) << doublings;
  }
  Job eager = MakeJob(1, 1);
  eager.backoff = absl::ZeroDuration();
  EXPECT_EQ(RetryPause(eager, 9, absl::Minutes(10)), absl::ZeroDuration());
  eager.backoff = -absl::Seconds(1);
  EXPECT_EQ(RetryPause(eager, 9, absl::Minutes(10)), absl::ZeroDuration());
}

TEST(RetryPause, IsTheSameForTheSameAttempt) {
  EXPECT_EQ(RetryPause(MakeJob(7, 2), 1, absl::Minutes(10)),
            RetryPause(MakeJob(7, 2), 1, absl::Minutes(10)));
  EXPECT_NE(RetryPause(MakeJob(7, 2), 1, absl::Minutes(10)),
            RetryPause(MakeJob(7, 3), 1, absl::Minutes(10)));
}

// A thousand jobs that failed together return evenly over four seconds.
TEST(RetryPause, SpreadsJobsThatFailedTogether) {
  int tenths[10] = {};
  std::set<absl::Duration> different;
  for (uint64_t id = 1; id <= 1000; ++id) {
    const absl::Duration pause =
        RetryPause(MakeJob(id, 1), 0, absl::Minutes(10));
    different.insert(pause);
    const double part =
        absl::FDivDuration(pause - absl::Seconds(8), absl::Milliseconds(400));
    ASSERT_GE(part, 0);
    ASSERT_LT(part, 10);
    ++tenths[static_cast<int>(part)];
  }
  for (int count : tenths) {
    EXPECT_GT(count, 60);
    EXPECT_LT(count, 140);
  }
  EXPECT_GT(different.size(), 800u);  // of 4,000 milliseconds
}

TEST(LossPause, StartsWithTheSecondLoss) {
  const Job job = MakeJob(1, 1);
  EXPECT_EQ(LossPause(job, 1, absl::Minutes(10)), absl::ZeroDuration());
  EXPECT_EQ(LossPause(job, 2, absl::Minutes(10)),
            RetryPause(job, 0, absl::Minutes(10)));
  EXPECT_EQ(LossPause(job, 5, absl::Minutes(10)),
            RetryPause(job, 3, absl::Minutes(10)));
}

}  // namespace
}  // namespace trainyard::core
