#include "server/telemetry/gauges.h"

#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::telemetry {
namespace {

using testing::Contains;
using testing::Key;
using testing::Not;
using testing::Pair;

// Samples as a scrape shows them.
class Scrape {
 public:
  void operator()(Metric metric, absl::Span<const Label> labels,
                  double value) const {
    std::string key = Describe(metric).name;
    if (!labels.empty()) {
      absl::StrAppend(&key, "{",
                      absl::StrJoin(labels, ",",
                                    [](std::string* out, const Label& label) {
                                      absl::StrAppend(out, label.name, "=",
                                                      label.value);
                                    }),
                      "}");
    }
    EXPECT_TRUE(series.emplace(key, value).second) << key << " is there twice";
  }
  size_t CountOf(absl::string_view prefix) const {
    size_t count = 0;
    for (const auto& [key, value] : series) {
      count += absl::StartsWith(key, prefix) ? 1 : 0;
    }
    return count;
  }

  // AddSample takes what can be called as it is.
  mutable std::map<std::string, double> series;
};

WorkerView Mini() {
  WorkerView worker;
  worker.name = "mini";
  worker.online = true;
  worker.last_seen = absl::FromUnixSeconds(1000);
  worker.attempts = 1;
  worker.devices.push_back({"cpu", "cpu", "Fast CPU", 64, 32, true});
  return worker;
}

std::shared_ptr<WorkerReading> ReadingOf(const std::string& device) {
  auto reading = std::make_shared<WorkerReading>();
  reading->devices.emplace_back().id = device;
  return reading;
}

TEST(SampleWorkers, ShowsAWorkerAndItsDevices) {
  ClusterView view;
  view.workers.push_back(Mini());
  auto reading = ReadingOf("cpu");
  reading->devices[0].utilization = 0.25;
  reading->devices[0].power_watts = 12.5;
  reading->disk = DiskReading{10, 100};
  Scrape scrape;
  SampleWorkers(view, {{"mini", reading}}, scrape);
  const std::string device = "{worker=mini,device=cpu,kind=cpu}";
  EXPECT_THAT(
      scrape.series,
      testing::UnorderedElementsAre(
          Pair("trainyard_worker_up{worker=mini}", 1),
          Pair("trainyard_worker_draining{worker=mini}", 0),
          Pair("trainyard_worker_last_seen_timestamp_seconds{worker=mini}",
               1000),
          Pair("trainyard_worker_attempts{worker=mini}", 1),
          Pair("trainyard_worker_disk_free_bytes{worker=mini}", 10),
          Pair("trainyard_worker_disk_size_bytes{worker=mini}", 100),
          Pair("trainyard_device_info{worker=mini,device=cpu,kind=cpu,"
               "model=Fast CPU}",
               1),
          Pair("trainyard_device_busy" + device, 1),
          Pair("trainyard_device_utilization_ratio" + device, 0.25),
          Pair("trainyard_device_memory_bytes" + device, 64),
          Pair("trainyard_device_memory_free_bytes" + device, 32),
          Pair("trainyard_device_power_watts" + device, 12.5)));
}

TEST(SampleWorkers, ASilentWorkerHasNoReadings) {
  ClusterView view;
  view.workers.push_back(Mini());
  view.workers[0].online = false;
  auto reading = ReadingOf("cpu");
  reading->devices[0].utilization = 0.25;
  Scrape scrape;
  SampleWorkers(view, {{"mini", reading}}, scrape);
  EXPECT_THAT(scrape.series,
              Contains(Pair("trainyard_worker_up{worker=mini}", 0)));
  EXPECT_EQ(scrape.CountOf("trainyard_device_utilization_ratio"), 0u);
  EXPECT_EQ(scrape.CountOf("trainyard_device_memory_free_bytes"), 0u);
  EXPECT_EQ(scrape.CountOf("trainyard_device_info"), 1u);
}

TEST(SampleWorkers, ReadingsOfOthersAreNotShown) {
  ClusterView view;
  view.workers.push_back(Mini());
  auto reading = ReadingOf("cuda:GPU-1");
  reading->devices[0].utilization = 0.25;
  Scrape scrape;
  SampleWorkers(view, {{"mini", reading}, {"gone", reading}}, scrape);
  EXPECT_EQ(scrape.CountOf("trainyard_device_utilization_ratio"), 0u);
  EXPECT_EQ(scrape.CountOf("trainyard_worker_up"), 1u);
}

JobReading Running(const std::string& name) {
  JobReading job;
  job.attempt = 1;
  job.point.job_name = std::make_shared<const std::string>(name);
  job.point.step = 5;
  job.last_progress = absl::FromUnixSeconds(2000);
  return job;
}

ClusterView RunningOn(const std::string& worker, uint64_t jobs) {
  ClusterView view;
  for (uint64_t job = 1; job <= jobs; ++job) view.runs[job] = {1, worker};
  return view;
}

TEST(SampleJobs, ShowsOnlyWhatIsKnown) {
  Scrape scrape;
  SampleJobs(RunningOn("mini", 1), {{1, Running("digits")}}, 1000, scrape);
  const std::string labels = "{job_id=1,job_name=digits,worker=mini}";
  EXPECT_THAT(scrape.series,
              testing::UnorderedElementsAre(
                  Pair("trainyard_job_series_omitted", 0),
                  Pair("trainyard_job_step" + labels, 5),
                  Pair("trainyard_job_last_progress_timestamp_seconds" + labels,
                       2000)));
}

TEST(SampleJobs, ShowsAllThatIsKnown) {
  JobReading job = Running("digits");
  PointReading& point = job.point;
  point.total_steps = 10;
  point.epoch = 2;
  point.loss = 0.5;
  point.learning_rate = 0.01;
  point.samples_per_second = 900;
  point.data_wait_seconds = 0.25;
  point.step_seconds = 1;
  point.eta_seconds = 60;
  point.rss_bytes = 1 << 20;
  point.validation_loss = 0.75;
  point.validation_accuracy = 0.875;
  point.devices.push_back({"cpu", 0.5, 4096, 55, 20});
  Scrape scrape;
  SampleJobs(RunningOn("mini", 1), {{1, job}}, 1000, scrape);
  // Every metric of the section on running jobs.
  std::set<std::string> names;
  for (const auto& [key, value] : scrape.series) {
    names.insert(key.substr(0, key.find('{')));
  }
  for (const MetricInfo& info : AllMetrics()) {
    if (!absl::StartsWith(info.labels, "job_id")) continue;
    EXPECT_THAT(names, Contains(info.name));
  }
  EXPECT_THAT(scrape.series,
              Contains(Pair("trainyard_job_compute_seconds{job_id=1,"
                            "job_name=digits,worker=mini}",
                            0.75)));
  EXPECT_THAT(
      scrape.series,
      Contains(Pair("trainyard_job_device_memory_bytes{job_id=1,job_name="
                    "digits,worker=mini,device=cpu}",
                    4096)));
}

TEST(SampleJobs, TheOldestJobsHaveSeriesTheRestIsCounted) {
  std::map<uint64_t, JobReading> jobs;
  for (uint64_t job = 1; job <= 5; ++job) jobs[job] = Running("many");
  Scrape scrape;
  SampleJobs(RunningOn("mini", 5), jobs, 3, scrape);
  EXPECT_EQ(scrape.CountOf("trainyard_job_step{"), 3u);
  EXPECT_THAT(scrape.series, Contains(Key(testing::HasSubstr("{job_id=3,"))));
  EXPECT_THAT(scrape.series,
              Not(Contains(Key(testing::HasSubstr("{job_id=4,")))));
  EXPECT_THAT(scrape.series, Contains(Pair("trainyard_job_series_omitted", 2)));
}

TEST(SampleJobs, LongNamesAreCut) {
  Scrape scrape;
  SampleJobs(RunningOn("mini", 1), {{1, Running(std::string(128, 'n'))}}, 1000,
             scrape);
  EXPECT_THAT(
      scrape.series,
      Contains(Key(absl::StrCat("trainyard_job_step{job_id=1,job_name=",
                                std::string(64, 'n'), ",worker=mini}"))));
}

TEST(SampleQueue, TellsTheLongestWaitAndWhatIsWanted) {
  ClusterView view;
  view.oldest_wait = absl::Seconds(90);
  view.wanted = {{"cpu", 0}, {"cuda", 12}};
  Scrape scrape;
  SampleQueue(view, scrape);
  EXPECT_THAT(scrape.series,
              testing::UnorderedElementsAre(
                  Pair("trainyard_queue_oldest_wait_seconds", 90),
                  Pair("trainyard_queue_wanted_devices{kind=cpu}", 0),
                  Pair("trainyard_queue_wanted_devices{kind=cuda}", 12)));
}

TEST(MetricTable, NamesFollowPrometheusConventions) {
  std::set<std::string> names;
  for (const MetricInfo& info : AllMetrics()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_TRUE(absl::StartsWith(info.name, "trainyard_")) << info.name;
    EXPECT_EQ(info.type == MetricType::kCounter,
              absl::EndsWith(info.name, "_total"))
        << info.name;
    EXPECT_TRUE(absl::EndsWith(info.help, ".")) << info.name;
    EXPECT_THAT(MetricsPage(), testing::HasSubstr(info.name));
  }
}

}  // namespace
}  // namespace trainyard::telemetry
