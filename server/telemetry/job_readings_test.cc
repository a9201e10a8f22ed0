#include "server/telemetry/job_readings.h"

#include "gtest/gtest.h"

namespace trainyard::telemetry {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

PointReading At(uint64_t step) {
  PointReading point;
  point.step = step;
  return point;
}

bool All(AttemptId) { return true; }

TEST(JobReadings, TellsWhenTheStepLastGrew) {
  JobReadings readings;
  readings.Add({7, 1}, At(10), kStart);
  readings.Add({7, 1}, At(11), kStart + absl::Seconds(1));
  readings.Add({7, 1}, At(11), kStart + absl::Seconds(2));
  const auto kept = readings.Keep(All);
  EXPECT_EQ(kept.at(7).point.step, 11u);
  EXPECT_EQ(kept.at(7).last_progress, kStart + absl::Seconds(1));
}

TEST(JobReadings, FiguresOfTheWorkStayThoseOfTheMomentDoNot) {
  JobReadings readings;
  PointReading first = At(1);
  first.total_steps = 50;
  first.loss = 2.5;
  first.validation_accuracy = 0.75;
  first.rss_bytes = 100;
  first.devices.emplace_back().id = "cpu";
  readings.Add({7, 1}, first, kStart);
  readings.Add({7, 1}, At(2), kStart);
  const PointReading now = readings.Keep(All).at(7).point;
  EXPECT_EQ(now.step, 2u);
  EXPECT_EQ(now.total_steps, 50u);
  EXPECT_EQ(now.loss, 2.5);
  EXPECT_EQ(now.validation_accuracy, 0.75);
  EXPECT_FALSE(now.rss_bytes.has_value());
  EXPECT_TRUE(now.devices.empty());
}

TEST(JobReadings, ANewAttemptInheritsNothing) {
  JobReadings readings;
  PointReading first = At(9);
  first.loss = 2.5;
  readings.Add({7, 1}, first, kStart);
  readings.Add({7, 2}, At(3), kStart + absl::Seconds(5));
  const JobReading now = readings.Keep(All).at(7);
  EXPECT_EQ(now.attempt, 2u);
  EXPECT_EQ(now.point.step, 3u);
  EXPECT_FALSE(now.point.loss.has_value());
  EXPECT_EQ(now.last_progress, kStart + absl::Seconds(5));
}

TEST(JobReadings, OldNewsIsIgnored) {
  JobReadings readings;
  readings.Add({7, 2}, At(9), kStart);
  readings.Add({7, 1}, At(30), kStart);
  readings.Add({7, 2}, At(8), kStart);
  EXPECT_EQ(readings.Keep(All).at(7).attempt, 2u);
  EXPECT_EQ(readings.Keep(All).at(7).point.step, 9u);
}

TEST(JobReadings, ForgetsWhatDoesNotRunAnyMore) {
  JobReadings readings;
  readings.Add({7, 1}, At(1), kStart);
  readings.Add({8, 1}, At(1), kStart);
  const auto only_8 = [](AttemptId id) { return id.job == 8; };
  EXPECT_EQ(readings.Keep(only_8).size(), 1u);
  EXPECT_EQ(readings.size(), 1u);
  EXPECT_TRUE(readings.Keep(All).contains(8));
}

TEST(JobReadings, OfTooManyTheOldestNewsGoes) {
  JobReadings readings(/*max_jobs=*/2);
  readings.Add({1, 1}, At(1), kStart);
  readings.Add({2, 1}, At(1), kStart);
  readings.Add({1, 1}, At(2), kStart);
  readings.Add({3, 1}, At(1), kStart);
  const auto kept = readings.Keep(All);
  EXPECT_EQ(kept.size(), 2u);
  EXPECT_TRUE(kept.contains(1));
  EXPECT_TRUE(kept.contains(3));
}

}  // namespace
}  // namespace trainyard::telemetry
