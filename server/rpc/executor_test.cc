#include "server/rpc/executor.h"

#include <atomic>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace trainyard::rpc {
namespace {

TEST(Executor, RunsWhatItTookEvenWhenItStops) {
  std::atomic<int> ran = 0;
  Executor executor({.threads = 3, .queue_limit = 1000});
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(executor.Post([&] { ++ran; }));
  }
  executor.Stop();
  EXPECT_EQ(ran, 100);
  EXPECT_FALSE(executor.Post([&] { ++ran; }));
  executor.Stop();
  EXPECT_EQ(ran, 100);
}

TEST(Executor, RefusesWhatItsQueueCannotHold) {
  absl::Notification running, go_on;
  Executor executor({.threads = 1, .queue_limit = 2});
  ASSERT_TRUE(executor.Post([&] {
    running.Notify();
    go_on.WaitForNotification();
  }));
  running.WaitForNotification();
  EXPECT_TRUE(executor.Post([] {}));
  EXPECT_TRUE(executor.Post([] {}));
  EXPECT_FALSE(executor.Post([] {}));
  go_on.Notify();
}

}  // namespace
}  // namespace trainyard::rpc
