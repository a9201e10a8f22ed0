#include "workers/agent/session.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/agent/testing/fake_server.h"

namespace trainyard::agent {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

// A session whose news the test waits for.
class Client {
 public:
  explicit Client(std::shared_ptr<grpc::Channel> channel) {
    SessionCallbacks callbacks;
    callbacks.describe_machine = [] {
      return MachineReport{
          .devices = {{.info = {.id = "cpu", .cores = 4},
                       .sample = {.utilization = 0.25, .power_watts = 12}}},
          .disk = DiskSpace{.free_bytes = 10, .size_bytes = 100}};
    };
    callbacks.on_open = [this](StreamOpened event) {
      absl::MutexLock lock(&mutex_);
      stream_ = event.stream;
    };
    callbacks.on_desired = [this](DesiredReceived event) {
      absl::MutexLock lock(&mutex_);
      desired_.push_back(std::move(event));
    };
    callbacks.on_connected = [this] { ++connected; };
    callbacks.on_disconnected = [this](const grpc::Status&) { ++disconnected; };
    session_ = std::make_unique<Session>(
        SessionOptions{.worker = "w1",
                       .instance_id = "abc",
                       .version = "1",
                       .platform = "linux",
                       .labels = {{"zone", "a"}},
                       .backoff = {.first = absl::Milliseconds(5),
                                   .longest = absl::Milliseconds(20)}},
        std::move(channel), std::move(callbacks));
  }
  Session& session() { return *session_; }
  DesiredReceived AwaitDesired(
      const std::function<bool(const DesiredReceived&)>& wanted) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      return !desired_.empty() && wanted(desired_.back());
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return desired_.empty() ? DesiredReceived() : desired_.back();
  }

  std::atomic<int> connected = 0;
  std::atomic<int> disconnected = 0;

 private:
  absl::Mutex mutex_;
  uint64_t stream_ = 0;
  std::vector<DesiredReceived> desired_;
  std::unique_ptr<Session> session_;
};

TEST(SessionTest, SaysWhatItIsAndHearsWhatItShouldBe) {
  FakeServer server;
  server.Want({FakeServer::Training(7, "x")});
  Client client(server.Channel());
  client.session().Start();
  const DesiredReceived desired =
      client.AwaitDesired([](const auto& d) { return !d.attempts.empty(); });
  EXPECT_EQ(desired.stream, 1u);
  EXPECT_EQ(desired.sequence, 1u);
  EXPECT_EQ(desired.attempts[0].key, (AttemptKey{7, 1}));
  EXPECT_FALSE(desired.attempts[0].spec.empty());
  EXPECT_TRUE(server.AwaitReport([](const auto& report) {
    return report.worker() == "w1" && report.instance_id() == "abc" &&
           report.labels().at("zone") == "a" && report.devices_size() == 1 &&
           report.devices(0).cores() == 4 && report.applied_sequence() == 0 &&
           report.devices(0).utilization() == 0.25 &&
           report.devices(0).power_watts() == 12 &&
           !report.devices(0).has_temperature_celsius() &&
           report.disk().free_bytes() == 10 &&
           report.disk().size_bytes() == 100;
  }));
  EXPECT_EQ(client.connected, 1);
}

TEST(SessionTest, SendsTheNewestStateWhole) {
  FakeServer server;
  Client client(server.Channel());
  client.session().Start();
  client.AwaitDesired([](const auto&) { return true; });
  for (uint64_t sequence = 1; sequence <= 100; ++sequence) {
    client.session().Publish(
        {.stream = 1,
         .applied_sequence = sequence,
         .attempts = {{.key = {7, 1}, .phase = Phase::kRunning}}});
  }
  EXPECT_TRUE(server.AwaitReport([](const auto& report) {
    return report.applied_sequence() == 100 && report.attempts_size() == 1 &&
           report.attempts(0).phase() == v1::AttemptStatus::PHASE_RUNNING;
  }));
}

TEST(SessionTest, GivesSignsOfLifeAsOftenAsTheServerAsks) {
  FakeServer server;
  server.set_heartbeat(absl::Milliseconds(10));
  Client client(server.Channel());
  client.session().Start();
  EXPECT_TRUE(server.AwaitReport([](const auto&) { return true; }, 5));
}

TEST(SessionTest, ComesBackAfterTheStreamBroke) {
  FakeServer server;
  Client client(server.Channel());
  client.session().Start();
  client.AwaitDesired([](const auto&) { return true; });
  client.session().Publish(
      {.stream = 1, .applied_sequence = 9, .attempts = {{.key = {7, 1}}}});
  EXPECT_TRUE(server.AwaitReport(
      [](const auto& report) { return report.applied_sequence() == 9; }));
  server.BreakStreams();
  const DesiredReceived desired =
      client.AwaitDesired([](const auto& d) { return d.stream >= 2; });
  EXPECT_EQ(desired.sequence, 1u);
  // The whole state again, but no sequence of the old stream.
  EXPECT_TRUE(server.AwaitReport([](const auto& report) {
    return report.applied_sequence() == 0 && report.attempts_size() == 1;
  }));
  EXPECT_GE(client.disconnected, 1);
}

TEST(SessionTest, ComesBackAfterTheServerDied) {
  auto server = std::make_unique<FakeServer>();
  const int port = server->port();
  Client client(server->Channel());
  client.session().Start();
  client.AwaitDesired([](const auto&) { return true; });
  server.reset();
  server = std::make_unique<FakeServer>(port);
  EXPECT_TRUE(server->AwaitReport([](const auto&) { return true; }));
}

TEST(SessionTest, SaysLastWordsWhenItStops) {
  FakeServer server;
  Client client(server.Channel());
  client.session().Start();
  client.AwaitDesired([](const auto&) { return true; });
  client.session().Publish({.leaving = true});
  client.session().Stop(absl::Seconds(20));
  EXPECT_TRUE(
      server.AwaitReport([](const auto& report) { return report.leaving(); }));
}

TEST(SessionTest, StopsAtOnceWithoutAServer) {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  {
    FakeServer server;
    channel = server.Channel();
  }
  Client client(channel);
  client.session().Start();
  client.session().Stop(absl::Milliseconds(1));
}

}  // namespace
}  // namespace trainyard::agent
