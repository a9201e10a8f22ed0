#include "workers/runner/meter.h"

#include "gtest/gtest.h"

namespace trainyard::runner {
namespace {

TEST(Meter, MeasuresAnInterval) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  Meter meter(&clock, {.period = absl::Seconds(1), .threads = 2});
  EXPECT_FALSE(meter.Due());
  for (int i = 0; i < 10; ++i) {
    clock.Advance(absl::Milliseconds(200));
    meter.AddStep(64, 0.05 * (i + 1));
  }
  EXPECT_TRUE(meter.Due());
  const IntervalFigures figures = meter.CloseInterval();
  EXPECT_EQ(figures.steps, 10u);
  EXPECT_DOUBLE_EQ(*figures.samples_per_second, 320);
  EXPECT_DOUBLE_EQ(*figures.step_seconds, 0.2);
  EXPECT_NEAR(*figures.data_wait_seconds, 0.05, 1e-9);
}

TEST(Meter, LeavesOutWhatLiesBetweenIntervals) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  Meter meter(&clock, {});
  clock.Advance(absl::Seconds(2));
  meter.AddStep(100, 0);
  meter.CloseInterval();
  clock.Advance(absl::Seconds(50));  // a validation
  meter.StartInterval();
  clock.Advance(absl::Seconds(2));
  meter.AddStep(100, 0);
  EXPECT_DOUBLE_EQ(*meter.CloseInterval().samples_per_second, 50);
  EXPECT_DOUBLE_EQ(*meter.samples_per_second(), 50);
  EXPECT_DOUBLE_EQ(meter.training_seconds(), 4);
  EXPECT_DOUBLE_EQ(meter.total_seconds(), 54);
}

TEST(Meter, SurvivesAClockThatIsSetBack) {
  ManualClock clock(absl::FromUnixSeconds(10'000));
  Meter meter(&clock, {});
  meter.AddStep(100, 0);
  clock.Advance(-absl::Hours(1));
  EXPECT_TRUE(meter.Due());
  EXPECT_FALSE(meter.CloseInterval().samples_per_second.has_value());
  EXPECT_EQ(meter.total_seconds(), 0);
  meter.StartInterval();
  EXPECT_FALSE(meter.Due());
}

TEST(Meter, HasNoFiguresOfNothing) {
  ManualClock clock(absl::FromUnixSeconds(1000));
  Meter meter(&clock, {});
  const IntervalFigures figures = meter.CloseInterval();
  EXPECT_FALSE(figures.samples_per_second.has_value());
  EXPECT_FALSE(figures.step_seconds.has_value());
  EXPECT_FALSE(meter.samples_per_second().has_value());
  EXPECT_FALSE(meter.recent_step_seconds().has_value());
}

}  // namespace
}  // namespace trainyard::runner
