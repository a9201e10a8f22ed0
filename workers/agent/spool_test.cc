#include "workers/agent/spool.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/telemetry_stream.h"
#include "workers/agent/testing/fake_server.h"
#include "workers/agent/testing/temp_dir.h"

namespace trainyard::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr AttemptKey kA{7, 1};
constexpr AttemptKey kB{8, 1};

class SpoolTest : public ::testing::Test {
 protected:
  Spool& Make(SpoolOptions options = {}) {
    options.folder = dir_.path();
    spool_ = std::make_unique<Spool>(options, &clock_);
    return *spool_;
  }
  void Point(const AttemptKey& key, uint64_t step) {
    v1::MetricPoint point;
    point.set_step(step);
    spool_->AddPoint(key, point);
  }
  void Line(const AttemptKey& key, const std::string& text) {
    v1::LogLine line;
    line.set_text(text);
    spool_->AddLine(key, line);
  }
  // "7#1 p5": job 7, sequence 1, point of step 5; "7#2 text".
  std::vector<std::string> Take(size_t max = 1000) {
    std::vector<std::string> taken;
    for (const auto& record : spool_->Take(max, 1 << 20)) {
      taken.push_back(absl::StrCat(
          record.key().job(), "#", record.sequence(), " ",
          record.has_point() ? absl::StrCat("p", record.point().step())
                             : record.line().text()));
    }
    return taken;
  }
  size_t Files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& file :
         std::filesystem::directory_iterator(dir_.path())) {
      ++count;
    }
    return count;
  }

  TempDir dir_;
  ManualClock clock_{absl::FromUnixSeconds(1000)};
  std::unique_ptr<Spool> spool_;
};

TEST_F(SpoolTest, NumbersRecordsInTheOrderTheyCame) {
  Make();
  Point(kA, 1);
  Line(kA, "one");
  Point(kA, 2);
  Point(kB, 9);
  EXPECT_THAT(Take(), ::testing::UnorderedElementsAre("7#1 p1", "7#2 one",
                                                      "7#3 p2", "8#1 p9"));
  EXPECT_THAT(Take(), ElementsAre());
}

TEST_F(SpoolTest, SendsAgainWhatWasNotAcknowledged) {
  Make();
  for (uint64_t step = 1; step <= 3; ++step) Point(kA, step);
  EXPECT_EQ(Take().size(), 3u);
  spool_->Acknowledge(kA, 1);
  spool_->Rewind();
  Point(kA, 4);
  EXPECT_THAT(Take(), ElementsAre("7#2 p2", "7#3 p3", "7#4 p4"));
  spool_->Acknowledge(kA, 4);
  EXPECT_EQ(spool_->pending(), 0u);
  spool_->Rewind();
  EXPECT_THAT(Take(), ElementsAre());
}

TEST_F(SpoolTest, AttemptsTakeTurns) {
  Make();
  for (uint64_t step = 1; step <= 100; ++step) Point(kA, step);
  Point(kB, 1);
  EXPECT_THAT(Take(2), ::testing::UnorderedElementsAre("7#1 p1", "8#1 p1"));
}

TEST_F(SpoolTest, BoundsWhatIsUnderWay) {
  Make({.max_unacknowledged = 2});
  for (uint64_t step = 1; step <= 3; ++step) Point(kA, step);
  EXPECT_EQ(Take().size(), 2u);
  EXPECT_FALSE(spool_->WaitForRecords(absl::ZeroDuration()));
  spool_->Acknowledge(kA, 2);
  EXPECT_TRUE(spool_->WaitForRecords(absl::ZeroDuration()));
  EXPECT_THAT(Take(), ElementsAre("7#3 p3"));
}

TEST_F(SpoolTest, GoesToDiskWhenMemoryIsFullAndComesBackInOrder) {
  Make({.memory_bytes = 2000});
  std::vector<std::string> expected;
  for (int i = 1; i <= 500; ++i) {
    Line(kA, absl::StrCat("line ", i));
    expected.push_back(absl::StrCat("7#", i, " line ", i));
  }
  EXPECT_GT(Files(), 1u);
  EXPECT_EQ(Take(), expected);
  EXPECT_EQ(Files(), 0u);
}

TEST_F(SpoolTest, DropsTheOldestPointsFirstAndSaysSo) {
  Make({.memory_bytes = 2000, .disk_bytes = 20000});
  for (int i = 1; i <= 3000; ++i) {
    Point(kA, static_cast<uint64_t>(i));
    if (i % 10 == 0) Line(kA, absl::StrCat("line ", i));
  }
  const std::vector<std::string> taken = Take(100000);
  EXPECT_THAT(taken[0], HasSubstr("7#1 the worker could not keep all"));
  EXPECT_THAT(taken[0], HasSubstr(" and 0 lines"));
  EXPECT_THAT(taken.back(), HasSubstr("line 3000"));
  EXPECT_LT(taken.size(), 3000u);
  size_t lines = 0;
  for (size_t i = 0; i < taken.size(); ++i) {
    EXPECT_THAT(taken[i], HasSubstr(absl::StrCat("7#", i + 1, " ")));  // no gap
    if (taken[i].find("line ") != std::string::npos) ++lines;
  }
  EXPECT_EQ(lines, 300u);
}

TEST_F(SpoolTest, DropsLinesWhenNoPointsAreLeft) {
  Make({.memory_bytes = 2000, .disk_bytes = 10000});
  for (int i = 1; i <= 3000; ++i) Line(kA, absl::StrCat("line ", i));
  const std::vector<std::string> taken = Take(100000);
  EXPECT_THAT(taken[0], HasSubstr("0 points and "));
  EXPECT_EQ(taken.back().substr(taken.back().find("line")), "line 3000");
}

TEST_F(SpoolTest, TellsWhenAllIsAcknowledged) {
  Make();
  int done = 0;
  spool_->WhenAcknowledged(kA, [&] { ++done; });
  EXPECT_EQ(done, 1);  // there was nothing
  Point(kA, 1);
  Point(kA, 2);
  spool_->WhenAcknowledged(kA, [&] { ++done; });
  Take(1);
  spool_->Acknowledge(kA, 1);
  EXPECT_EQ(done, 1);
  Take(1);
  spool_->Acknowledge(kA, 2);
  EXPECT_EQ(done, 2);
}

TEST_F(SpoolTest, ForgetsAReleasedAttemptOnceItsRecordsAreDelivered) {
  Make();
  Point(kA, 1);
  Point(kB, 1);
  spool_->Release(kA);
  spool_->Release(kB);
  EXPECT_EQ(spool_->pending(), 2u);
  Take();
  spool_->Acknowledge(kA, 1);
  EXPECT_EQ(spool_->pending(), 1u);
  clock_.Advance(absl::Minutes(11));
  EXPECT_FALSE(spool_->WaitForRecords(absl::ZeroDuration()));
  EXPECT_EQ(spool_->pending(), 0u);
}

TEST_F(SpoolTest, TheLastRecordsComeThroughTooWhenTheServerIsBack) {
  FakeServer server;
  server.set_acknowledging(false);
  Make();
  TelemetryStream stream("w1", server.Channel(), spool_.get(),
                         {.first = absl::Hours(1), .longest = absl::Hours(1)},
                         1);
  Point(kA, 1);
  ASSERT_TRUE(server.AwaitRefusals(1));  // now it pauses for long
  server.set_acknowledging(true);
  stream.OnServerBack();
  EXPECT_TRUE(server.AwaitTelemetry(
      [](const auto& records) { return records.size() == 1; }));
}

TEST_F(SpoolTest, LosesNothingWhenTheServerIsAway) {
  FakeServer server;
  server.set_acknowledging(false);
  Make();
  TelemetryStream stream(
      "w1", server.Channel(), spool_.get(),
      {.first = absl::Milliseconds(5), .longest = absl::Milliseconds(20)}, 1);
  for (uint64_t step = 1; step <= 2500; ++step) Point(kA, step);
  server.set_acknowledging(true);
  EXPECT_TRUE(server.AwaitTelemetry(
      [](const auto& records) { return records.size() >= 2500; }));
  uint64_t sequence = 0;
  for (const auto& record : server.telemetry()) {
    EXPECT_EQ(record.sequence(), ++sequence);
    EXPECT_EQ(record.point().step(), sequence);
  }
  stream.Stop();
}

}  // namespace
}  // namespace trainyard::agent
