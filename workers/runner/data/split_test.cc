#include "workers/runner/data/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "workers/runner/data/memory_dataset.h"
#include "workers/runner/data/prng.h"

namespace trainyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int32_t> LabelsOf(const std::vector<int>& class_sizes) {
  std::vector<int32_t> labels;
  for (size_t c = 0; c < class_sizes.size(); ++c) {
    labels.insert(labels.end(), static_cast<size_t>(class_sizes[c]),
                  static_cast<int32_t>(c));
  }
  return labels;
}

std::vector<int> CountsOf(const std::vector<int32_t>& labels, int num_classes,
                          const std::vector<uint32_t>& picked) {
  std::vector<int> counts(static_cast<size_t>(num_classes));
  for (uint32_t index : picked) ++counts[static_cast<size_t>(labels[index])];
  return counts;
}

TEST(PickStratifiedTest, GivesEachClassItsShare) {
  const struct {
    std::vector<int> class_sizes;
    uint64_t count;
    bool leave_one;
    std::vector<int> picked;
  } rows[] = {
      {{50, 30, 20}, 10, false, {5, 3, 2}},
      {{10, 10, 10},
       10,
       false,
       {4, 3, 3}},  // equal remainders: the lower label
      {{97, 2, 1}, 10, false, {10, 0, 0}},
      {{5, 5}, 100, false, {5, 5}},
      {{5, 5}, 0, false, {0, 0}},
      {{5, 0, 5}, 4, false, {2, 0, 2}},
      {{1, 1}, 2, true, {0, 0}},
      {{2, 2}, 4, true, {1, 1}},
  };
  for (const auto& row : rows) {
    const std::vector<int32_t> labels = LabelsOf(row.class_sizes);
    const int classes = static_cast<int>(row.class_sizes.size());
    const std::vector<uint32_t> picked =
        PickStratified(labels, classes, row.count, 7, row.leave_one);
    EXPECT_EQ(CountsOf(labels, classes, picked), row.picked);
    EXPECT_TRUE(std::is_sorted(picked.begin(), picked.end()));
    EXPECT_EQ(std::adjacent_find(picked.begin(), picked.end()), picked.end());
  }
}

TEST(PickStratifiedTest, IsTheSameEverywhereForASeed) {
  const std::vector<int32_t> labels = LabelsOf({10, 10});
  // Written down once: a change would break resumed jobs.
  EXPECT_THAT(PickStratified(labels, 2, 6, 1),
              ElementsAre(1, 4, 6, 10, 15, 17));
  EXPECT_NE(PickStratified(labels, 2, 6, 1), PickStratified(labels, 2, 6, 2));
}

TEST(ComplementTest, IsTheRest) {
  EXPECT_THAT(Complement(5, {1, 3}), ElementsAre(0, 2, 4));
  EXPECT_THAT(Complement(2, {}), ElementsAre(0, 1));
  EXPECT_THAT(Complement(2, {0, 1}), IsEmpty());
}

TEST(ShareOfTest, RoundsAndIsNeverNothing) {
  EXPECT_EQ(ShareOf(60000, 0.1), 6000u);
  EXPECT_EQ(ShareOf(15, 0.1), 2u);
  EXPECT_EQ(ShareOf(3, 0.1), 1u);
  EXPECT_EQ(ShareOf(4294967295u, 0.9), 3865470566u);
}

TEST(SubsetDatasetTest, ReadsThroughItsIndices) {
  std::unique_ptr<uint8_t[]> pixels(new uint8_t[4]{10, 11, 12, 13});
  const auto whole = std::make_shared<MemoryDataset>(
      SampleShape{1, 1, 1}, std::move(pixels), std::vector<int32_t>{0, 1, 0, 1},
      std::vector<std::string>{"a", "b"});
  const SubsetDataset part(whole, {1, 2});
  EXPECT_EQ(part.num_samples(), 2u);
  EXPECT_THAT(part.labels(), ElementsAre(1, 0));
  uint8_t read[2] = {};
  int64_t labels[2] = {};
  ASSERT_TRUE(part.Read({1, 0}, read, labels).ok());
  EXPECT_THAT(read, ElementsAre(12, 11));
  EXPECT_THAT(labels, ElementsAre(0, 1));
}

TEST(PrngTest, FollowsTheReference) {
  // The first numbers of the reference implementation for seed 1234567.
  Prng prng(1234567);
  EXPECT_EQ(prng.Next(), 6457827717110365317u);
  EXPECT_EQ(prng.Next(), 3203168211198807973u);
  EXPECT_EQ(prng.Next(), 9817491932198370423u);
}

TEST(PrngTest, IsEven) {
  Prng prng(5);
  std::map<uint64_t, int> counts;
  for (int i = 0; i < 30000; ++i) ++counts[prng.Below(3)];
  ASSERT_EQ(counts.size(), 3u);
  for (const auto& [value, count] : counts) EXPECT_NEAR(count, 10000, 300);
}

}  // namespace
}  // namespace trainyard::data
