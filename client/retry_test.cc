#include "client/retry.h"

#include <vector>

#include "client/client.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::client {
namespace {

using ::testing::ElementsAre;

// Does not sleep; notes the pauses.
RetryPorts NotingPorts(std::vector<absl::Duration>* pauses) {
  RetryPorts ports;
  ports.random = [] { return 1.0; };
  ports.sleep = [pauses](absl::Duration time, const CancelToken*) {
    pauses->push_back(time);
  };
  return ports;
}

ClientOptions FastOptions(const FakeServer& server) {
  ClientOptions options;
  options.server = server.address();
  options.ports.sleep = [](absl::Duration, const CancelToken*) {};
  return options;
}

TEST(Backoff, DoublesUpToTheLimitWithJitter) {
  RetryPolicy policy;
  policy.first_pause = absl::Seconds(1);
  policy.max_pause = absl::Seconds(3);
  Backoff longest(policy, [] { return 1.0; });
  EXPECT_EQ(longest.Next(), absl::Seconds(1));
  EXPECT_EQ(longest.Next(), absl::Seconds(2));
  EXPECT_EQ(longest.Next(), absl::Seconds(3));
  EXPECT_EQ(longest.Next(), absl::Seconds(3));
  longest.Reset();
  EXPECT_EQ(longest.Next(), absl::Seconds(1));
  Backoff shortest(policy, [] { return 0.0; });
  EXPECT_EQ(shortest.Next(), absl::Milliseconds(500));
}

TEST(Retry, TriesAgainOnlyWhatMayPass) {
  std::vector<absl::Duration> pauses;
  int calls = 0;
  const auto times = [&](std::vector<absl::Status> results) {
    calls = 0;
    pauses.clear();
    return Retry({}, NotingPorts(&pauses), nullptr,
                 [&] { return results[calls++]; });
  };
  EXPECT_TRUE(times({absl::UnavailableError(""),
                     absl::ResourceExhaustedError(""), absl::OkStatus()})
                  .ok());
  EXPECT_EQ(calls, 3);
  EXPECT_THAT(pauses,
              ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200)));
  EXPECT_TRUE(absl::IsInvalidArgument(times({absl::InvalidArgumentError("")})));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(absl::IsUnavailable(
      times(std::vector<absl::Status>(9, absl::UnavailableError("")))));
  EXPECT_EQ(calls, 5);
}

TEST(Retry, StopsWhenCancelled) {
  std::vector<absl::Duration> pauses;
  CancelToken cancel;
  cancel.Cancel();
  EXPECT_TRUE(absl::IsUnavailable(Retry({}, NotingPorts(&pauses), &cancel, [] {
    return absl::UnavailableError("");
  })));
  EXPECT_EQ(pauses.size(), 1u);
}

TEST(Client, ReusesTheRequestIdOnEveryTry) {
  FakeServer server;
  server.FailNext(2, grpc::StatusCode::UNAVAILABLE);
  {
    absl::MutexLock lock(&server.state().mutex);
    server.state().lose_replies = 1;
  }
  Client client(FastOptions(server));
  const auto job = client.Submit(v1::JobSpec());
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "jobs/1");
  absl::MutexLock lock(&server.state().mutex);
  const auto& seen = server.state().submissions;
  ASSERT_EQ(seen.size(), 4u);  // two faults, one lost reply, one good
  for (const auto& request : seen) {
    EXPECT_EQ(request.request_id().size(), 32u);
    EXPECT_EQ(request.request_id(), seen[0].request_id());
  }
  EXPECT_EQ(server.state().jobs.size(), 1u);
}

TEST(Client, TakesTheCallersRequestId) {
  FakeServer server;
  Client client(FastOptions(server));
  const auto first = client.Submit(v1::JobSpec(), {"mine", false});
  const auto second = client.Submit(v1::JobSpec(), {"mine", false});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->name(), second->name());
}

TEST(Client, GivesTheServersErrorWithoutTryingAgain) {
  FakeServer server;
  Client client(FastOptions(server));
  v1::JobSpec spec;
  spec.set_priority(1001);
  const auto job = client.Submit(spec);
  EXPECT_EQ(job.status(), absl::InvalidArgumentError(
                              "priority: 1001: must be -1000 to 1000"));
  EXPECT_TRUE(absl::IsNotFound(client.GetJob("jobs/404").status()));
  absl::MutexLock lock(&server.state().mutex);
  EXPECT_EQ(server.state().submissions.size(), 1u);
}

TEST(Client, SaysWhenNobodyIsThere) {
  std::string address;
  {
    FakeServer gone;
    address = gone.address();
  }
  ClientOptions options;
  options.server = address;
  options.ports.sleep = [](absl::Duration, const CancelToken*) {};
  EXPECT_TRUE(absl::IsUnavailable(Client(options).GetJob("jobs/1").status()));
}

TEST(Client, SubmitsBatchesWithOneResultEach) {
  FakeServer server;
  Client client(FastOptions(server));
  std::vector<v1::SubmitJobRequest> requests(3);
  requests[1].mutable_spec()->set_priority(1001);
  const auto results = client.BatchSubmit(requests);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), 3u);
  EXPECT_EQ((*results)[0].job(), "jobs/1");
  EXPECT_EQ((*results)[1].code(), 3);
  EXPECT_EQ((*results)[2].job(), "jobs/2");
  EXPECT_TRUE(absl::IsInvalidArgument(client.BatchSubmit({}).status()));
}

}  // namespace
}  // namespace trainyard::client
