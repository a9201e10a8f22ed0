#include "server/telemetry/hub.h"

#include <atomic>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "server/telemetry/fake_points.h"

namespace trainyard::telemetry {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(20);

Entry Line(uint64_t job, uint64_t sequence) {
  return {{job, 1}, sequence, Kind::kLine, "line", std::nullopt};
}

Entry Point(uint64_t job, uint64_t sequence, uint64_t step) {
  return {{job, 1},
          sequence,
          Kind::kPoint,
          "point",
          Progress{step, 100, 1, 10, 0.5}};
}

absl::Status IngestAndWait(Hub& hub, std::vector<Entry> entries) {
  absl::Status result;
  absl::Notification done;
  hub.Ingest(std::move(entries), [&](const absl::Status& status) {
    result = status;
    done.Notify();
  });
  if (!done.WaitForNotificationWithTimeout(kDeadline)) {
    return absl::DeadlineExceededError("no answer");
  }
  return result;
}

TEST(Hub, AnswersOnceEntriesAreStored) {
  FakePoints points;
  Hub hub(HubOptions(), &points);
  ASSERT_TRUE(IngestAndWait(hub, {Line(1, 1), Line(1, 2)}).ok());
  EXPECT_EQ(points.Read({.job = 1})->entries.size(), 2u);
}

TEST(Hub, PassesTheStoresErrorOn) {
  FakePoints points;
  points.FailWith(absl::ResourceExhaustedError("disk full"));
  Hub hub(HubOptions(), &points);
  EXPECT_EQ(IngestAndWait(hub, {Point(1, 1, 5)}),
            absl::ResourceExhaustedError("disk full"));
  EXPECT_FALSE(hub.Latest(1).has_value());
}

TEST(Hub, RemembersTheNewestProgressOfTheNewestJobs) {
  FakePoints points;
  Hub hub(HubOptions{.progress_jobs = 2}, &points);
  ASSERT_TRUE(
      IngestAndWait(hub, {Point(1, 1, 5), Point(2, 1, 6), Point(1, 2, 7)})
          .ok());
  ASSERT_TRUE(IngestAndWait(hub, {Point(3, 1, 8)}).ok());
  EXPECT_EQ(hub.Latest(1)->step, 7u);
  EXPECT_FALSE(hub.Latest(2).has_value());
  EXPECT_EQ(hub.Latest(3)->step, 8u);
}

TEST(Hub, KeepsFiguresThatTheNewestPointHasNot) {
  FakePoints points;
  Hub hub(HubOptions(), &points);
  Entry bare = Point(1, 2, 6);
  bare.progress->samples_per_second.reset();
  ASSERT_TRUE(IngestAndWait(hub, {Point(1, 1, 5), bare}).ok());
  EXPECT_EQ(hub.Latest(1)->step, 6u);
  EXPECT_EQ(hub.Latest(1)->samples_per_second, 10);
}

TEST(Hub, WakesThoseWhoFollowTheJobUntilTheyLeave) {
  FakePoints points;
  Hub hub(HubOptions(), &points);
  std::atomic<int> woken = 0;
  const uint64_t id = hub.Subscribe(7, [&] { ++woken; });
  ASSERT_TRUE(IngestAndWait(hub, {Line(7, 1)}).ok());
  ASSERT_TRUE(IngestAndWait(hub, {Line(8, 1)}).ok());
  EXPECT_EQ(woken, 1);
  hub.Unsubscribe(id);
  ASSERT_TRUE(IngestAndWait(hub, {Line(7, 2)}).ok());
  EXPECT_EQ(woken, 1);
}

TEST(Hub, RefusesMoreThanItsQueueHolds) {
  FakePoints points;
  Hub hub(HubOptions{.queue_bytes = 10}, &points);
  EXPECT_EQ(IngestAndWait(hub, {Line(1, 1)}).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(Hub, RefusesOnceStopped) {
  FakePoints points;
  Hub hub(HubOptions(), &points);
  hub.Stop();
  EXPECT_EQ(IngestAndWait(hub, {Line(1, 1)}).code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace trainyard::telemetry
