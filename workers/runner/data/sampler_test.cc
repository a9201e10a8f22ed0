#include "workers/runner/data/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace trainyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SamplerTest, IsAPermutation) {
  for (uint32_t size : {0u, 1u, 2u, 1000u}) {
    std::vector<uint32_t> order = EpochOrder(size, 3, 0);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, SequentialOrder(size));
  }
}

TEST(SamplerTest, IsTheSameEverywhereForASeedAndEpoch) {
  // Written down once: a change would break resumed jobs.
  EXPECT_THAT(EpochOrder(8, 0, 0), ElementsAre(2, 3, 6, 4, 1, 7, 5, 0));
  EXPECT_THAT(EpochOrder(8, 42, 3), ElementsAre(3, 5, 2, 1, 6, 7, 0, 4));
}

TEST(SamplerTest, DiffersByEpochAndSeed) {
  std::set<std::vector<uint32_t>> orders;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (uint64_t epoch = 0; epoch < 20; ++epoch)
      orders.insert(EpochOrder(100, seed, epoch));
  }
  EXPECT_EQ(orders.size(), 400u);
}

TEST(SamplerTest, CountsForValidation) {
  EXPECT_THAT(SequentialOrder(3), ElementsAre(0, 1, 2));
  EXPECT_THAT(SequentialOrder(0), IsEmpty());
}

}  // namespace
}  // namespace trainyard::data
