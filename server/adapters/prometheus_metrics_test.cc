#include "server/adapters/prometheus_metrics.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::adapters {
namespace {

using testing::HasSubstr;

TEST(PrometheusMetrics, CountsWhatItIsTold) {
  PrometheusMetrics metrics("1.2.3");
  metrics.OnCommit(3, 5, absl::Milliseconds(2));
  metrics.OnJobEnded(core::JobState::kFailed, absl::Seconds(9));
  metrics.OnGauges(7, 1, 2, 0, 3, 1);
  metrics.OnCall("JobService/GetJob", "OK", absl::Microseconds(80));
  metrics.OnStreamOpened("JobService/WatchJobs");
  const std::string text = metrics.Render();
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
