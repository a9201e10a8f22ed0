#include "server/core/lifecycle.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace trainyard::core {
namespace {

using enum JobState;

TEST(Lifecycle, AllowsTheMovesOfTheDesignAndNoOthers) {
  const std::set<std::pair<JobState, JobState>> legal = {
      {kQueued, kStarting},    {kQueued, kFailed},    {kQueued, kCancelled},
      {kStarting, kRunning},   {kStarting, kQueued},  {kStarting, kFailed},
      {kStarting, kCancelled}, {kRunning, kQueued},   {kRunning, kSucceeded},
      {kRunning, kFailed},     {kRunning, kCancelled}};
  for (int from = 0; from <= 7; ++from) {
    for (int to = 0; to <= 7; ++to) {
      const auto a = static_cast<JobState>(from);
      const auto b = static_cast<JobState>(to);
      EXPECT_EQ(IsLegalMove(a, b), legal.contains({a, b})) << from << "→" << to;
      if (IsFinal(a)) {
        EXPECT_FALSE(IsLegalMove(a, b));
      }
    }
  }
}

TEST(Lifecycle, NamesTheJobAndTheStatesOfAnIllegalMove) {
  const absl::Status status = CheckMove(JobId(7), kSucceeded, kRunning);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "jobs/7 cannot move from SUCCEEDED to RUNNING");
  EXPECT_TRUE(CheckMove(JobId(7), kQueued, kStarting).ok());
}

}  // namespace
}  // namespace trainyard::core
