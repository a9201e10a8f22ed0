#include "client/watch.h"

#include <string>
#include <thread>
#include <vector>

#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::client {
namespace {

using ::testing::ElementsAre;

class WatchTest : public ::testing::Test {
 protected:
  WatchTest() : client_(Options()) {}

  ClientOptions Options() {
    ClientOptions options;
    options.server = server_.address();
    options.ports.sleep = [](absl::Duration, const CancelToken*) {};
    return options;
  }

  v1::Job Put(const std::string& name, v1::Job::State state) {
    v1::Job job;
    job.set_name(name);
    job.set_state(state);
    server_.PutJob(job);
    return job;
  }

  FakeServer server_;
  Client client_;
};

TEST_F(WatchTest, ResumesFromTheRevisionAfterEachBreak) {
  {
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().break_streams_after = 1;
  }
  Put("jobs/1", v1::Job::STATE_QUEUED);
  v1::WatchJobsRequest request;
  request.mutable_filter()->add_names("jobs/1");
  request.set_until_final(true);
  std::vector<int> states;
  int breaks = 0;
  FollowOptions options;
  options.on_break = [&](const absl::Status&, absl::Duration) {
    ++breaks;
    if (breaks == 1) Put("jobs/1", v1::Job::STATE_RUNNING);
    if (breaks == 2) Put("jobs/1", v1::Job::STATE_SUCCEEDED);
  };
  const absl::Status end =
      WatchJobs(client_, request, options, [&](const v1::Job& job) {
        states.push_back(job.state());
        return true;
      });
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_THAT(states, ElementsAre(v1::Job::STATE_QUEUED, v1::Job::STATE_RUNNING,
                                  v1::Job::STATE_SUCCEEDED));
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_THAT(server_.state().watched_from, ElementsAre(0u, 1u, 2u, 3u));
}

TEST_F(WatchTest, GivesUpWhereNothingWasEverHeard) {
  server_.FailNext(1000, grpc::StatusCode::UNAVAILABLE);
  v1::WatchJobsRequest request;
  const absl::Status end =
      WatchJobs(client_, request, {}, [](const v1::Job&) { return true; });
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_EQ(server_.state().watched_from.size(), 5u);
}

TEST_F(WatchTest, ReturnsFinalErrorsAtOnce) {
  server_.FailNext(1, grpc::StatusCode::NOT_FOUND);
  const absl::Status end = WatchJobs(client_, v1::WatchJobsRequest(), {},
                                     [](const v1::Job&) { return true; });
  EXPECT_TRUE(absl::IsNotFound(end)) << end;
}

TEST_F(WatchTest, EndsWhenTheCallbackHasEnough) {
  Put("jobs/1", v1::Job::STATE_QUEUED);
  EXPECT_TRUE(
      WatchJobs(client_, v1::WatchJobsRequest(), {}, [](const v1::Job&) {
        return false;
      }).ok());
}

TEST_F(WatchTest, EndsWhenCancelledFromAnotherThread) {
  Put("jobs/1", v1::Job::STATE_QUEUED);
  CancelToken cancel;
  FollowOptions options;
  options.cancel = &cancel;
  std::thread canceller;
  const absl::Status end =
      WatchJobs(client_, v1::WatchJobsRequest(), options, [&](const v1::Job&) {
        canceller = std::thread([&] { cancel.Cancel(); });
        return true;
      });
  canceller.join();
  EXPECT_TRUE(absl::IsCancelled(end)) << end;
}

TEST_F(WatchTest, RenewsStreamsAtTheEndOfTheirLifetime) {
  Put("jobs/1", v1::Job::STATE_QUEUED);
  ClientOptions options = Options();
  options.stream_lifetime = absl::Milliseconds(50);
  Client client(options);
  int renewals = 0;
  v1::WatchJobsRequest request;
  request.set_until_final(true);
  FollowOptions follow;
  follow.on_break = [&](const absl::Status&, absl::Duration) { ++renewals; };
  std::thread finisher([&] {
    const auto renewed = [this] {
      return server_.state().watched_from.size() >= 3;
    };
    {
      absl::MutexLock lock(&server_.state().mutex);
      server_.state().mutex.Await(absl::Condition(&renewed));
    }
    Put("jobs/1", v1::Job::STATE_SUCCEEDED);
  });
  EXPECT_TRUE(WatchJobs(client, request, follow, [](const v1::Job&) {
                return true;
              }).ok());
  finisher.join();
  EXPECT_EQ(renewals, 0);  // not counted as breaks
}

TEST_F(WatchTest, LogsResumeFromTheCursorWithoutRepeating) {
  Put("jobs/1", v1::Job::STATE_SUCCEEDED);
  for (const char* text : {"a", "b", "c", "d", "e"}) {
    server_.AddLine("jobs/1", text);
  }
  {
    absl::MutexLock lock(&server_.state().mutex);
    server_.state().break_streams_after = 2;
  }
  v1::StreamLogsRequest request;
  request.set_job("jobs/1");
  request.set_follow(true);
  request.set_tail(4);
  std::string text;
  const absl::Status end = StreamLogs(
      client_, request, {}, [&](const v1::StreamLogsResponse& response) {
        for (const auto& line : response.lines()) text += line.line().text();
        return true;
      });
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(text, "bcde");
  absl::MutexLock lock(&server_.state().mutex);
  EXPECT_THAT(server_.state().log_cursors, ElementsAre("", "3", "5"));
}

TEST_F(WatchTest, MetricsEndWithTheJob) {
  Put("jobs/1", v1::Job::STATE_RUNNING);
  v1::MetricPoint point;
  point.set_step(7);
  server_.AddPoint("jobs/1", point);
  v1::StreamMetricsRequest request;
  request.set_job("jobs/1");
  request.set_follow(true);
  std::vector<uint64_t> steps;
  const absl::Status end = StreamMetrics(
      client_, request, {}, [&](const v1::StreamMetricsResponse& response) {
        for (const auto& one : response.points()) {
          steps.push_back(one.point().step());
        }
        Put("jobs/1", v1::Job::STATE_FAILED);
        return true;
      });
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_THAT(steps, ElementsAre(7u));
}

}  // namespace
}  // namespace trainyard::client
