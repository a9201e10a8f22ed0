#include "server/adapters/cluster_collector.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"
#include "server/adapters/temp_folder.h"
#include "server/core/scenario.h"
#include "server/engine/fake_store.h"

namespace trainyard::adapters {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MakeView, ShowsWorkersThatAreHereAndJobsThatRun) {
  core::Scenario s;
  s.Report("mac", {core::Mps()});
  s.Report("box", {core::Cpu()});
  const core::JobId running = s.Submit(core::OneOf(core::DeviceKind::kMps));
  ASSERT_TRUE(
      s.Send("mac", {core::Is(s.KeyOf(running), core::Phase::kRunning)}).ok());
  s.Submit(core::OneOf(core::DeviceKind::kCpu));  // STARTING
  s.Submit(core::OneOf(core::DeviceKind::kCuda));
  s.now += absl::Seconds(7);
  const telemetry::ClusterView view = MakeView(s.cluster, s.now);
  ASSERT_EQ(view.workers.size(), 2u);
  EXPECT_EQ(view.workers[1].name, "mac");
  EXPECT_TRUE(view.workers[1].online);
  EXPECT_EQ(view.workers[1].attempts, 1u);
  ASSERT_EQ(view.workers[1].devices.size(), 1u);
  EXPECT_STREQ(view.workers[1].devices[0].kind, "mps");
  EXPECT_TRUE(view.workers[1].devices[0].busy);
  ASSERT_EQ(view.runs.size(), 1u);
  EXPECT_EQ(view.runs.at(running.value()).worker, "mac");
  EXPECT_EQ(view.oldest_wait, absl::Seconds(7));
  ASSERT_EQ(view.wanted.size(), 3u);
  EXPECT_STREQ(view.wanted[1].kind, "cuda");
  EXPECT_EQ(view.wanted[1].devices, 1u);
}

TEST(MakeView, LostWorkersAndThoseThatLeftAreGone) {
  core::Scenario s;
  s.Report("lost", {core::Cpu()});
  s.ReportOf("left").leaving = true;
  s.Report("left", {core::Cpu()});
  s.Report("silent", {core::Cpu()});
  s.Do(core::DisconnectWorker{core::WorkerName("lost"), "lost-1"});
  s.Wait(s.policy.worker_lease + absl::Seconds(1));
  s.Report("left", {core::Cpu()});
  s.Report("silent", {core::Cpu()});
  s.Do(core::DisconnectWorker{core::WorkerName("silent"), "silent-1"});
  s.Do(core::DisconnectWorker{core::WorkerName("left"), "left-1"});
  const telemetry::ClusterView view = MakeView(s.cluster, s.now);
  ASSERT_EQ(view.workers.size(), 1u);
  EXPECT_EQ(view.workers[0].name, "silent");
  EXPECT_FALSE(view.workers[0].online);
}

class ClusterCollectorTest : public testing::Test {
 protected:
  ClusterCollectorTest()
      : engine_({}, &clock_, &store_, &metrics_),
        collector_({.state_dir = folder_.path(),
                    .shortest_interval = absl::ZeroDuration()},
                   &clock_, &engine_, &fleet_, &jobs_) {
    EXPECT_TRUE(engine_.Start().ok());
  }
  ~ClusterCollectorTest() override {
    collector_.Detach();
    engine_.Stop();
  }

  void Do(core::Command command) {
    absl::Notification done;
    engine_.Post(std::move(command), [&done](const core::Reply& reply) {
      EXPECT_TRUE(reply.status.ok()) << reply.status;
      done.Notify();
    });
    ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::Seconds(20)));
  }
  void Report(std::vector<core::AttemptStatus> attempts = {}) {
    core::WorkerReport report;
    report.worker = core::WorkerName("mini");
    report.instance = "one";
    report.devices = {core::Cpu()};
    report.attempts = std::move(attempts);
    Do(core::ReportWorker{report});
  }
  std::string Scrape() {
    return prometheus::TextSerializer().Serialize(collector_.Collect());
  }

  TempFolder folder_;
  ManualClock clock_{absl::FromUnixSeconds(5000)};
  engine::FakeStore store_;
  engine::NoMetrics metrics_;
  engine::Engine engine_;
  telemetry::FleetReadings fleet_;
  telemetry::JobReadings jobs_;
  ClusterCollector collector_;
};

TEST_F(ClusterCollectorTest, AJobsSeriesLiveFromItsFirstPointToItsEnd) {
  const core::AttemptKey key{core::JobId(1), 1};
  Report();
  core::Submission submission;
  submission.scheduling = core::OneOf(core::DeviceKind::kCpu);
  Do(core::SubmitJobs{{submission}});
  telemetry::PointReading point;
  point.job_name = std::make_shared<const std::string>("quo\"te");
  point.step = 3;
  jobs_.Add({1, 1}, point, clock_.Now());
  EXPECT_THAT(Scrape(), Not(HasSubstr("trainyard_job_step{"))) << "STARTING";
  Report({core::Is(key, core::Phase::kRunning)});
  EXPECT_THAT(Scrape(), Not(HasSubstr("trainyard_job_step{"))) << "no point";
  jobs_.Add({1, 1}, point, clock_.Now());
  EXPECT_THAT(Scrape(), HasSubstr("trainyard_job_step{job_id=\"1\",job_name="
                                  "\"quo\\\"te\",worker=\"mini\"} 3\n"));
  Report({core::Ended(key, core::Outcome::kSucceeded)});
  EXPECT_THAT(Scrape(), Not(HasSubstr("trainyard_job_step{")));
  jobs_.Add({1, 1}, point, clock_.Now());  // late
  EXPECT_THAT(Scrape(), Not(HasSubstr("trainyard_job_step{")));
  EXPECT_EQ(jobs_.size(), 0u);
}

TEST_F(ClusterCollectorTest, ShowsTheServersDiskAndStart) {
  const std::string text = Scrape();
  EXPECT_THAT(text, HasSubstr("trainyard_server_start_time_seconds 5000\n"));
  EXPECT_THAT(text, HasSubstr("trainyard_server_disk_size_bytes "));
  EXPECT_THAT(text, HasSubstr("trainyard_queue_oldest_wait_seconds 0\n"));
}

TEST_F(ClusterCollectorTest, AnEngineThatStoppedIsShownAsItWas) {
  Report();
  EXPECT_THAT(Scrape(), HasSubstr("trainyard_worker_up{worker=\"mini\"} 1\n"));
  engine_.Stop();
  EXPECT_THAT(Scrape(), HasSubstr("trainyard_worker_up{worker=\"mini\"} 1\n"));
  collector_.Detach();
  EXPECT_EQ(Scrape(), "");
}

}  // namespace
}  // namespace trainyard::adapters
