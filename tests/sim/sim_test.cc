// Hundreds of small worlds, each with its own faults. A failing seed is named;
// add it to kFoundBugs once its bug is fixed.
#include <gtest/gtest.h>

#include "spdlog/spdlog.h"
#include "tests/sim/world.h"

namespace trainyard::sim {
namespace {

void RunSeed(uint64_t seed) {
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  spdlog::set_level(spdlog::level::off);  // failing commits are the point
  World world(seed);
  world.RunWithFaults(absl::Seconds(25));
  world.RunUntilDone(absl::Minutes(10));
}

class Simulation : public ::testing::TestWithParam<int> {};

// In slices, so that ctest runs them side by side.
TEST_P(Simulation, KeepsItsPromisesThroughFaults) {
  constexpr uint64_t kSeeds = 150;
  const uint64_t first = static_cast<uint64_t>(GetParam()) * kSeeds;
  for (uint64_t seed = first; seed < first + kSeeds; ++seed) {
    RunSeed(seed);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Slices, Simulation, ::testing::Range(0, 4));

}  // namespace
}  // namespace trainyard::sim
