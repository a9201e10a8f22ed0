#include "base/clock.h"

#include "gtest/gtest.h"

namespace trainyard {
namespace {

TEST(ManualClock, MovesOnlyWhenTold) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(1000));
  clock.Advance(absl::Seconds(5));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(1005));
}

TEST(RealClock, NeverGoesBackWithinTwoReadings) {
  const absl::Time first = RealClock()->Now();
  EXPECT_LE(first, RealClock()->Now());
}

}  // namespace
}  // namespace trainyard
