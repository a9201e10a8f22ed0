#include "server/core/usage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace trainyard::core {
namespace {

constexpr DeviceKind kCuda = DeviceKind::kCuda;
const absl::Time kStart = absl::FromUnixSeconds(1'000'000);
const absl::Duration kHalfLife = absl::Hours(1);

TEST(Usage, ADeviceHeldForAHalfLifeCountsHalf) {
  Usage usage(kHalfLife);
  EXPECT_EQ(usage.Mean(kCuda, kStart), 0);
  usage.Hold(kCuda, 2, kStart);
  EXPECT_NEAR(usage.Mean(kCuda, kStart), 0, 1e-12);
  EXPECT_NEAR(usage.Mean(kCuda, kStart + kHalfLife), 1, 1e-12);
  EXPECT_NEAR(usage.Mean(kCuda, kStart + 2 * kHalfLife), 1.5, 1e-12);
  usage.Release(kCuda, 2, kStart, kStart + 2 * kHalfLife);
  EXPECT_EQ(usage.Held(kCuda), 0u);
  EXPECT_NEAR(usage.Mean(kCuda, kStart + 3 * kHalfLife), 0.75, 1e-12);
}

TEST(Usage, ShareIsThatOfTheKindWithMost) {
  Usage usage(kHalfLife);
  usage.Hold(DeviceKind::kCpu, 1, kStart);
  usage.Hold(kCuda, 3, kStart);
  usage.Hold(DeviceKind::kMps, 5, kStart);
  DeviceCounts capacity = {};
  EXPECT_EQ(usage.Share(capacity, kStart), 0);
  capacity[static_cast<size_t>(DeviceKind::kCpu)] = 2;
  EXPECT_NEAR(usage.Share(capacity, kStart), 0.5, 1e-12);
  capacity[static_cast<size_t>(kCuda)] = 4;
  EXPECT_NEAR(usage.Share(capacity, kStart), 0.75, 1e-12);
}

TEST(Usage, CountsDeviceHoursFromTheLastReset) {
  Usage usage(kHalfLife);
  usage.Hold(kCuda, 2, kStart);
  usage.Hold(DeviceKind::kCpu, 1, kStart + absl::Hours(1));
  EXPECT_NEAR(usage.DeviceHours(kStart + absl::Hours(2)), 5, 1e-9);
  usage.Release(DeviceKind::kCpu, 1, kStart + absl::Hours(1),
                kStart + absl::Hours(2));
  usage.ResetHours(kStart + absl::Hours(2));
  EXPECT_NEAR(usage.DeviceHours(kStart + absl::Hours(2)), 0, 1e-9);
  EXPECT_NEAR(usage.DeviceHours(kStart + absl::Hours(3)), 2, 1e-9);
  usage.Release(kCuda, 2, kStart, kStart + absl::Hours(4));
  EXPECT_NEAR(usage.DeviceHours(kStart + absl::Hours(9)), 4, 1e-9);
}

// One attempt, by the definition: an integral of what it holds, weighted with
// what is forgotten of it.
double MeanOf(absl::Time begin, absl::Time end, absl::Time now) {
  const auto left = [&](absl::Time time) {
    return std::exp2(-absl::FDivDuration(now - time, kHalfLife));
  };
  return left(std::min(end, now)) - left(begin);
}

TEST(Usage, IsTheSumOverAttemptsAlsoAfterARestart) {
  std::mt19937_64 random(7);
  struct Attempt {
    uint32_t devices;
    absl::Time begin, end;
  };
  std::vector<Attempt> live;
  std::vector<Attempt> all;
  Usage usage(kHalfLife);
  absl::Time now = kStart;
  for (int i = 0; i < 500; ++i) {
    now += absl::Seconds(random() % 600);
    if (live.size() < 5 && random() % 2 == 0) {
      live.push_back({static_cast<uint32_t>(1 + random() % 4), now,
                      absl::InfiniteFuture()});
      usage.Hold(kCuda, live.back().devices, now);
    } else if (!live.empty()) {
      Attempt ended = live[random() % live.size()];
      std::erase_if(live,
                    [&](const Attempt& a) { return a.begin == ended.begin; });
      ended.end = now;
      usage.Release(kCuda, ended.devices, ended.begin, now);
      all.push_back(ended);
    }
    double mean = 0;
    double hours = 0;
    for (const auto* attempts : {&all, &live}) {
      for (const Attempt& a : *attempts) {
        mean += a.devices * MeanOf(a.begin, a.end, now);
        hours +=
            a.devices * absl::ToDoubleHours(std::min(a.end, now) - a.begin);
      }
    }
    ASSERT_NEAR(usage.Mean(kCuda, now), mean, 1e-6);
    ASSERT_NEAR(usage.DeviceHours(now), hours, 1e-6);
    Usage restarted(kHalfLife);
    restarted.Restore(kCuda, usage.past(kCuda));
    for (auto it = live.rbegin(); it != live.rend(); ++it) {
      restarted.Hold(kCuda, it->devices, it->begin);
    }
    ASSERT_NEAR(restarted.Mean(kCuda, now), mean, 1e-6);
    ASSERT_NEAR(restarted.DeviceHours(now), hours, 1e-6);
  }
}

TEST(Usage, IsNegligibleWhenNothingIsHeldAndLittleWas) {
  Usage usage(kHalfLife);
  EXPECT_TRUE(usage.IsNegligible(kStart));
  usage.Hold(kCuda, 1, kStart);
  EXPECT_FALSE(usage.IsNegligible(kStart));
  usage.Release(kCuda, 1, kStart, kStart + kHalfLife);
  EXPECT_FALSE(usage.IsNegligible(kStart + kHalfLife));
  EXPECT_TRUE(usage.IsNegligible(kStart + 30 * kHalfLife));
}

}  // namespace
}  // namespace trainyard::core
