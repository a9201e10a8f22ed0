#include "server/adapters/prometheus_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::adapters {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(PrometheusMetrics, ServesOnAFreePortAndSaysWhich) {
  const auto metrics = PrometheusMetrics::Start("127.0.0.1:0", "1.2.3");
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_THAT((*metrics)->address(), HasSubstr("127.0.0.1:"));
  EXPECT_THAT((*metrics)->address(), Not(HasSubstr(":0")));
}

TEST(PrometheusMetrics, AnAddressInUseIsAnError) {
  const auto first = PrometheusMetrics::Start("127.0.0.1:0", "1.2.3");
  ASSERT_TRUE(first.ok());
  const auto second = PrometheusMetrics::Start((*first)->address(), "1.2.3");
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr((*first)->address()));
}

TEST(PrometheusMetrics, RefusesAnAddressWithoutPort) {
  EXPECT_EQ(PrometheusMetrics::Start("localhost", "1").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PrometheusMetrics, CountsWhatItIsTold) {
  const auto metrics = PrometheusMetrics::Start("off", "1.2.3");
  ASSERT_TRUE(metrics.ok());
  (*metrics)->OnCommit(3, 5, absl::Milliseconds(2));
  (*metrics)->OnJobEnded(core::JobState::kFailed, absl::Seconds(9));
  (*metrics)->OnGauges(7, 1, 2, 0, 3, 1);
  (*metrics)->OnCall("JobService/GetJob", "OK", absl::Microseconds(80));
  (*metrics)->OnStreamOpened("JobService/WatchJobs");
  const std::string text = (*metrics)->Render();
  EXPECT_THAT(text, HasSubstr("trainyard_commit_duration_seconds_count 1"));
  EXPECT_THAT(text, HasSubstr("trainyard_commit_records_total 5"));
  EXPECT_THAT(text,
              HasSubstr(R"(trainyard_jobs_ended_total{state="failed"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(trainyard_jobs{state="queued"} 7)"));
  EXPECT_THAT(text, HasSubstr(R"(method="JobService/GetJob")"));
  EXPECT_THAT(
      text, HasSubstr(R"(trainyard_streams{method="JobService/WatchJobs"} 1)"));
}

}  // namespace
}  // namespace trainyard::adapters
