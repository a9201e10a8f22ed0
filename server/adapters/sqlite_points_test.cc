#include "server/adapters/sqlite_points.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/adapters/temp_folder.h"

namespace trainyard::adapters {
namespace {

using telemetry::Entry;
using telemetry::Kind;
using telemetry::ReadRequest;

Entry Line(uint64_t job, uint32_t attempt, uint64_t sequence,
           std::string text = "") {
  if (text.empty()) text = absl::StrCat("line ", sequence);
  return {{job, attempt}, sequence, Kind::kLine, std::move(text), std::nullopt};
}

class SqlitePointsTest : public testing::Test {
 protected:
  void SetUp() override { Open({}); }

  void Open(SqlitePointsOptions options) {
    points_.reset();
    auto points = SqlitePoints::Open(folder_.path() + "/telemetry.db", options);
    ASSERT_TRUE(points.ok()) << points.status();
    points_ = *std::move(points);
  }

  telemetry::Page Read(const ReadRequest& request) {
    auto page = points_->Read(request);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? *std::move(page) : telemetry::Page();
  }

  std::vector<std::string> Texts(const ReadRequest& request) {
    std::vector<std::string> texts;
    for (const auto& entry : Read(request).entries)
      texts.push_back(entry.payload);
    return texts;
  }

  TempFolder folder_;
  std::unique_ptr<SqlitePoints> points_;
};

using Strings = std::vector<std::string>;

TEST_F(SqlitePointsTest, GivesEntriesBackFromACursorAlsoAfterARestart) {
  ASSERT_TRUE(
      points_->Append({Line(1, 1, 1), Line(2, 1, 1, "other"), Line(1, 1, 2)})
          .ok());
  ASSERT_TRUE(points_
                  ->Append({{{1, 1}, 3, Kind::kPoint, "point", std::nullopt},
                            Line(1, 1, 4)})
                  .ok());
  Open({});
  EXPECT_EQ(Texts({.job = 1}), (Strings{"line 1", "line 2", "line 4"}));
  EXPECT_EQ(Texts({.job = 1, .kind = Kind::kPoint}), Strings{"point"});
  const auto first = Read({.job = 1, .limit = 2});
  EXPECT_FALSE(first.last);
  const auto second = Read({.job = 1, .after = first.next, .limit = 2});
  EXPECT_TRUE(second.last);
  ASSERT_EQ(second.entries.size(), 1u);
  EXPECT_EQ(second.entries[0].payload, "line 4");
  EXPECT_FALSE(second.gap);
  EXPECT_EQ(Texts({.job = 1, .after = second.next}), Strings());
}

TEST_F(SqlitePointsTest, IgnoresWhatItHasStoredBefore) {
  ASSERT_TRUE(points_->Append({Line(1, 1, 1), Line(1, 1, 2)}).ok());
  Open({});
  ASSERT_TRUE(points_
                  ->Append({Line(1, 1, 1), Line(1, 1, 2), Line(1, 1, 3),
                            Line(1, 2, 1, "new")})
                  .ok());
  EXPECT_EQ(Texts({.job = 1}), (Strings{"line 1", "line 2", "line 3", "new"}));
}

TEST_F(SqlitePointsTest, TellsAttemptsApart) {
  ASSERT_TRUE(
      points_
          ->Append({Line(1, 1, 1, "a"), Line(1, 2, 1, "b"), Line(1, 1, 2, "c")})
          .ok());
  EXPECT_EQ(Texts({.job = 1, .attempt = 1}), (Strings{"a", "c"}));
  EXPECT_EQ(Read({.job = 1, .attempt = 2}).next, 3u);
  EXPECT_EQ(*points_->Tail(1, Kind::kLine, 1, 1), 1u);
  EXPECT_EQ(*points_->Tail(1, Kind::kLine, 0, 2), 1u);
  EXPECT_EQ(*points_->Tail(1, Kind::kLine, 0, 20), 0u);
}

TEST_F(SqlitePointsTest, BoundsAPageByBytesButGivesAtLeastOne) {
  ASSERT_TRUE(points_->Append({Line(1, 1, 1), Line(1, 1, 2)}).ok());
  const auto page = Read({.job = 1, .max_bytes = 1});
  EXPECT_EQ(page.entries.size(), 1u);
  EXPECT_FALSE(page.last);
  EXPECT_EQ(page.next, 1u);
}

TEST_F(SqlitePointsTest, DropsAJobsOldestEntriesAndSaysSo) {
  Open({.entries_per_job = 100});
  for (uint64_t i = 1; i <= 500; ++i)
    ASSERT_TRUE(points_->Append({Line(1, 1, i)}).ok());
  const auto page = Read({.job = 1, .after = 3});
  EXPECT_TRUE(page.gap);
  EXPECT_GE(page.entries.size(), 100u);
  EXPECT_LE(page.entries.size(), 110u);
  EXPECT_EQ(page.entries.back().payload, "line 500");
  EXPECT_FALSE(Read({.job = 1, .after = 450}).gap);
  const uint64_t tail = *points_->Tail(1, Kind::kLine, 0, 1000);
  EXPECT_FALSE(Read({.job = 1, .after = tail}).gap);
}

TEST_F(SqlitePointsTest, DropsTheOldestJobsWhenTheFileIsFull) {
  Open({.bytes_in_all = 10'000});
  const std::string text(1000, 'x');
  for (uint64_t job = 1; job <= 30; ++job) {
    ASSERT_TRUE(points_->Append({Line(job, 1, 1, text)}).ok());
  }
  EXPECT_TRUE(Read({.job = 1}).gap);
  EXPECT_TRUE(Read({.job = 1}).entries.empty());
  EXPECT_EQ(Texts({.job = 30}), Strings{text});
  Open({.bytes_in_all = 10'000});
  ASSERT_TRUE(points_->Append({Line(31, 1, 1, text)}).ok());
  EXPECT_EQ(Texts({.job = 30}), Strings{text});
}

TEST_F(SqlitePointsTest, ACursorBeyondTheEndIsAGap) {
  ASSERT_TRUE(points_->Append({Line(1, 1, 1)}).ok());
  const auto page = Read({.job = 1, .after = 50});
  EXPECT_TRUE(page.gap);
  EXPECT_EQ(page.next, 1u);
}

}  // namespace
}  // namespace trainyard::adapters
