#include "server/rpc/worker_service.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/rpc/sent_sequences.h"
#include "server/rpc/test_server.h"

namespace trainyard::rpc {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class WorkerServiceTest : public ServerTest {
 protected:
  v1::Worker GetWorker(const std::string& name) {
    v1::GetWorkerRequest request;
    request.set_name("workers/" + name);
    v1::GetWorkerResponse response;
    const auto status =
        fleet_->GetWorker(TestContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.worker();
  }

  grpc::Status Drain(const std::string& name, bool undo, v1::Worker* worker) {
    v1::DrainWorkerRequest request;
    request.set_name("workers/" + name);
    request.set_undo(undo);
    v1::DrainWorkerResponse response;
    const auto status =
        fleet_->DrainWorker(TestContext().get(), request, &response);
    *worker = response.worker();
    return status;
  }

  static v1::TelemetryRecord Line(const v1::AttemptKey& key, uint64_t sequence,
                                  const std::string& text) {
    v1::TelemetryRecord record;
    *record.mutable_key() = key;
    record.set_sequence(sequence);
    record.mutable_line()->set_text(text);
    record.mutable_line()->set_stream(v1::LogLine::STREAM_STDOUT);
    return record;
  }

  static v1::TelemetryRecord Point(const v1::AttemptKey& key, uint64_t sequence,
                                   uint64_t step) {
    v1::TelemetryRecord record;
    *record.mutable_key() = key;
    record.set_sequence(sequence);
    record.mutable_point()->set_step(step);
    record.mutable_point()->set_samples_per_second(123);
    return record;
  }

  // Sends the records and returns the acknowledgements.
  v1::ReportTelemetryResponse Send(
      const std::string& worker,
      const std::vector<v1::TelemetryRecord>& records) {
    v1::ReportTelemetryRequest request;
    request.set_worker(worker);
    for (const auto& record : records) *request.add_records() = record;
    const auto context = TestContext();
    const auto stream = workers_->ReportTelemetry(context.get());
    EXPECT_TRUE(stream->Write(request));
    v1::ReportTelemetryResponse response;
    EXPECT_TRUE(stream->Read(&response));
    stream->WritesDone();
    EXPECT_TRUE(stream->Finish().ok());
    return response;
  }

  std::vector<std::string> Logs(const v1::StreamLogsRequest& request,
                                std::string* cursor = nullptr) {
    const auto context = TestContext();
    const auto reader = jobs_->StreamLogs(context.get(), request);
    v1::StreamLogsResponse response;
    std::vector<std::string> texts;
    while (reader->Read(&response)) {
      for (const auto& line : response.lines()) {
        texts.push_back(line.line().text());
      }
      if (cursor != nullptr) *cursor = response.cursor();
    }
    const auto status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return texts;
  }

  // A worker that runs the only job.
  std::unique_ptr<TestWorker> RunningWorker() {
    auto worker = std::make_unique<TestWorker>(workers_.get(), "attic");
    EXPECT_TRUE(worker->Report());
    Submit(TestSpec());
    EXPECT_TRUE(worker->ReadUntilAttempt());
    worker->Take();
    EXPECT_TRUE(worker->Report());
    return worker;
  }
};

TEST_F(WorkerServiceTest, AJobGoesItsWholeWay) {
  TestWorker worker(workers_.get(), "attic");
  ASSERT_TRUE(worker.Report());
  Submit(TestSpec());
  ASSERT_TRUE(worker.ReadUntilAttempt());
  const v1::DesiredAttempt desired = worker.desired.attempts(0);
  EXPECT_EQ(desired.key().job(), 1u);
  EXPECT_EQ(desired.key().attempt(), 1u);
  EXPECT_EQ(desired.action(), v1::DesiredAttempt::ACTION_RUN);
  EXPECT_EQ(desired.spec().training().model().architecture(), "mlp");
  EXPECT_THAT(desired.devices(), ElementsAre("cpu"));
  EXPECT_GT(worker.desired.heartbeat_interval().seconds(), 0);

  worker.Take();
  ASSERT_TRUE(worker.Report());
  v1::AttemptStatus* status = worker.Take();
  status->set_phase(v1::AttemptStatus::PHASE_ENDED);
  status->set_outcome(v1::Attempt::OUTCOME_SUCCEEDED);
  v1::Output* output = status->add_outputs();
  output->set_name("model.safetensors");
  output->set_artifact("sha256:" + std::string(64, 'b'));
  output->set_size_bytes(5);
  ASSERT_TRUE(worker.Report());
  // Acknowledged: no longer listed.
  ASSERT_TRUE(worker.ReadUntilEmpty());
  EXPECT_THAT(WatchToEnd("jobs/1"), ElementsAre(v1::Job::STATE_SUCCEEDED));
  const v1::Job job = Get("jobs/1");
  ASSERT_EQ(job.outputs_size(), 1);
  EXPECT_EQ(job.outputs(0).name(), "model.safetensors");
  ASSERT_EQ(job.attempts_size(), 1);
  EXPECT_EQ(job.attempts(0).worker(), "workers/attic");
  EXPECT_EQ(job.attempts(0).outcome(), v1::Attempt::OUTCOME_SUCCEEDED);
}

TEST_F(WorkerServiceTest, AServerRestartLosesNothingOfARunningAttempt) {
  auto worker = RunningWorker();
  Restart();
  EXPECT_FALSE(worker->ReadUntilEmpty());
  TestWorker again(workers_.get(), "attic");
  *again.report.mutable_attempts() = worker->report.attempts();
  ASSERT_TRUE(again.Report());
  ASSERT_TRUE(again.ReadUntilAttempt());
  EXPECT_EQ(again.desired.attempts(0).key().attempt(), 1u);
  // It holds the attempt, so it needs no spec.
  EXPECT_FALSE(again.desired.attempts(0).has_spec());
  EXPECT_EQ(Get("jobs/1").attempts_size(), 1);
}

TEST_F(WorkerServiceTest, CancelReachesTheWorkerAndEndsWithIt) {
  auto worker = RunningWorker();
  v1::CancelJobRequest request;
  request.set_name("jobs/1");
  v1::CancelJobResponse response;
  ASSERT_TRUE(jobs_->CancelJob(TestContext().get(), request, &response).ok());
  EXPECT_TRUE(response.job().cancel_requested());
  do {
    ASSERT_TRUE(worker->Read());
  } while (worker->desired.attempts(0).action() !=
           v1::DesiredAttempt::ACTION_CANCEL);
  v1::AttemptStatus* status = worker->Take();
  status->set_phase(v1::AttemptStatus::PHASE_ENDED);
  status->set_outcome(v1::Attempt::OUTCOME_CANCELLED);
  ASSERT_TRUE(worker->Report());
  EXPECT_EQ(WatchToEnd("jobs/1").back(), v1::Job::STATE_CANCELLED);
}

TEST_F(WorkerServiceTest, ANewerStreamOfTheSameNameTakesOver) {
  TestWorker older(workers_.get(), "attic");
  ASSERT_TRUE(older.Report());
  ASSERT_TRUE(older.Read());
  TestWorker newer(workers_.get(), "attic");
  ASSERT_TRUE(newer.Report());
  ASSERT_TRUE(newer.Read());
  EXPECT_EQ(older.Finish().error_code(), StatusCode::ABORTED);
  EXPECT_EQ(GetWorker("attic").state(), v1::Worker::STATE_ONLINE);
}

TEST_F(WorkerServiceTest, ABrokenStreamMakesTheWorkerSilent) {
  {
    TestWorker worker(workers_.get(), "attic");
    ASSERT_TRUE(worker.Report());
    ASSERT_TRUE(worker.Read());
    EXPECT_EQ(GetWorker("attic").state(), v1::Worker::STATE_ONLINE);
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (GetWorker("attic").state() != v1::Worker::STATE_SILENT) {
    ASSERT_LT(absl::Now(), deadline);
  }
}

TEST_F(WorkerServiceTest, ShowsWhatDevicesTellUntilTheStreamEnds) {
  {
    TestWorker worker(workers_.get(), "attic");
    v1::Device* cpu = worker.report.mutable_devices(0);
    cpu->set_utilization(0.25);
    cpu->set_temperature_celsius(61);
    cpu->set_power_watts(-3);  // no power is below zero
    worker.report.mutable_disk()->set_free_bytes(200);
    worker.report.mutable_disk()->set_size_bytes(100);
    ASSERT_TRUE(worker.Report());
    ASSERT_TRUE(worker.Read());
    const v1::Worker shown = GetWorker("attic");
    EXPECT_EQ(shown.devices(0).utilization(), 0.25);
    EXPECT_EQ(shown.devices(0).temperature_celsius(), 61);
    EXPECT_FALSE(shown.devices(0).has_power_watts());
    EXPECT_EQ(shown.disk().free_bytes(), 100u) << "the whole is the bound";
    EXPECT_EQ(shown.disk().size_bytes(), 100u);
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (GetWorker("attic").state() != v1::Worker::STATE_SILENT) {
    ASSERT_LT(absl::Now(), deadline);
  }
  EXPECT_FALSE(GetWorker("attic").devices(0).has_utilization());
  EXPECT_FALSE(GetWorker("attic").has_disk());
}

TEST_F(WorkerServiceTest, ReadingsTakeNoRevision) {
  TestWorker worker(workers_.get(), "attic");
  ASSERT_TRUE(worker.Report());
  ASSERT_TRUE(worker.Read());
  const core::Revision before = engine_->revision();
  worker.report.mutable_devices(0)->set_utilization(0.5);
  ASSERT_TRUE(worker.Report());
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (GetWorker("attic").devices(0).utilization() != 0.5) {
    ASSERT_LT(absl::Now(), deadline);
  }
  EXPECT_EQ(engine_->revision(), before);
}

TEST_F(WorkerServiceTest, ProgressIsRecalledAfterARestart) {
  auto worker = RunningWorker();
  const v1::AttemptKey key = worker->report.attempts(0).key();
  v1::TelemetryRecord loss = Point(key, 1, 10);
  loss.mutable_point()->set_loss(0.5);
  Send("attic", {loss, Point(key, 2, 20)});
  EXPECT_EQ(Get("jobs/1").progress().step(), 20u);
  Restart();
  const v1::Job job = Get("jobs/1");
  EXPECT_EQ(job.progress().step(), 20u);
  EXPECT_EQ(job.progress().loss(), 0.5);
  EXPECT_EQ(job.progress().samples_per_second(), 123);
}

TEST_F(WorkerServiceTest, AWorkerThatSaysNothingLosesItsStream) {
  options_.rpc.heartbeat_interval = absl::Milliseconds(20);
  Restart();
  TestWorker worker(workers_.get(), "attic");
  ASSERT_TRUE(worker.Report());
  while (worker.Read()) {
  }
  EXPECT_EQ(worker.Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(WorkerServiceTest, RefusesWorkersThatSayNonsense) {
  TestWorker nameless(workers_.get(), "Attic Mini");
  ASSERT_TRUE(nameless.Report());
  EXPECT_FALSE(nameless.Read());
  const auto status = nameless.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("Attic Mini"));

  TestWorker changing(workers_.get(), "attic");
  ASSERT_TRUE(changing.Report());
  ASSERT_TRUE(changing.Read());
  changing.report.set_worker("cellar");
  changing.Report();
  EXPECT_EQ(changing.Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(WorkerServiceTest, DrainsAndComesBack) {
  TestWorker worker(workers_.get(), "attic");
  ASSERT_TRUE(worker.Report());
  ASSERT_TRUE(worker.Read());
  v1::Worker shown;
  ASSERT_TRUE(Drain("attic", /*undo=*/false, &shown).ok());
  EXPECT_TRUE(shown.draining());
  while (!worker.desired.draining()) ASSERT_TRUE(worker.Read());
  ASSERT_TRUE(Drain("attic", /*undo=*/true, &shown).ok());
  EXPECT_FALSE(shown.draining());
  EXPECT_EQ(Drain("nobody", false, &shown).error_code(), StatusCode::NOT_FOUND);
}

TEST_F(WorkerServiceTest, ListsWorkersByNameInPages) {
  std::vector<std::unique_ptr<TestWorker>> all;
  for (const char* name : {"c", "a", "b"}) {
    all.push_back(std::make_unique<TestWorker>(workers_.get(), name));
    ASSERT_TRUE(all.back()->Report());
    ASSERT_TRUE(all.back()->Read());
  }
  v1::ListWorkersRequest request;
  request.set_page_size(2);
  v1::ListWorkersResponse response;
  ASSERT_TRUE(
      fleet_->ListWorkers(TestContext().get(), request, &response).ok());
  ASSERT_EQ(response.workers_size(), 2);
  EXPECT_EQ(response.workers(0).name(), "workers/a");
  EXPECT_EQ(response.workers(0).devices(0).id(), "cpu");
  request.set_page_token(response.next_page_token());
  response.Clear();
  ASSERT_TRUE(
      fleet_->ListWorkers(TestContext().get(), request, &response).ok());
  ASSERT_EQ(response.workers_size(), 1);
  EXPECT_EQ(response.workers(0).name(), "workers/c");
  EXPECT_EQ(response.next_page_token(), "");
}

TEST_F(WorkerServiceTest, TelemetryIsStoredAcknowledgedAndShown) {
  auto worker = RunningWorker();
  const v1::AttemptKey key = worker->report.attempts(0).key();
  const auto acks =
      Send("attic", {Line(key, 1, "one"), Point(key, 2, 7), Line(key, 3, "two"),
                     Line(key, 3, "two again")});
  ASSERT_EQ(acks.acks_size(), 1);
  EXPECT_EQ(acks.acks(0).sequence(), 3u);
  v1::StreamLogsRequest request;
  request.set_job("jobs/1");
  std::string cursor;
  EXPECT_THAT(Logs(request, &cursor), ElementsAre("one", "two"));
  EXPECT_EQ(Get("jobs/1").progress().step(), 7u);
  EXPECT_EQ(Get("jobs/1").progress().samples_per_second(), 123);

  Send("attic", {Line(key, 4, "three")});
  request.set_cursor(cursor);
  EXPECT_THAT(Logs(request), ElementsAre("three"));
  v1::StreamLogsRequest tail;
  tail.set_job("jobs/1");
  tail.set_tail(1);
  EXPECT_THAT(Logs(tail), ElementsAre("three"));
}

TEST_F(WorkerServiceTest, TelemetryOfOthersAttemptsIsAcknowledgedAndDropped) {
  auto worker = RunningWorker();
  v1::AttemptKey key = worker->report.attempts(0).key();
  EXPECT_EQ(Send("cellar", {Line(key, 9, "forged")}).acks(0).sequence(), 9u);
  key.set_job(77);
  EXPECT_EQ(Send("attic", {Line(key, 5, "unknown")}).acks(0).sequence(), 5u);
  v1::StreamLogsRequest request;
  request.set_job("jobs/1");
  EXPECT_THAT(Logs(request), IsEmpty());
}

TEST_F(WorkerServiceTest, FollowingEndsOnceTheJobIsFinalAndAllWasSent) {
  options_.rpc.telemetry_grace = absl::Milliseconds(200);
  Restart();
  auto worker = RunningWorker();
  const v1::AttemptKey key = worker->report.attempts(0).key();
  v1::StreamMetricsRequest request;
  request.set_job("jobs/1");
  request.set_follow(true);
  const auto context = TestContext();
  const auto reader = jobs_->StreamMetrics(context.get(), request);
  v1::StreamMetricsResponse response;
  Send("attic", {Point(key, 1, 10)});
  uint64_t step = 0;
  while (step < 10 && reader->Read(&response)) {
    for (const auto& point : response.points()) step = point.point().step();
  }
  v1::AttemptStatus* status = worker->Take();
  status->set_phase(v1::AttemptStatus::PHASE_ENDED);
  status->set_outcome(v1::Attempt::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(worker->Report());
  ASSERT_TRUE(worker->ReadUntilEmpty());
  // Late, but within the grace.
  Send("attic", {Point(key, 2, 20)});
  while (reader->Read(&response)) {
    for (const auto& point : response.points()) step = point.point().step();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(step, 20u);
}

TEST_F(WorkerServiceTest, LogsOfAnUnknownJobAreNotFound) {
  v1::StreamLogsRequest request;
  request.set_job("jobs/5");
  const auto context = TestContext();
  const auto reader = jobs_->StreamLogs(context.get(), request);
  v1::StreamLogsResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::NOT_FOUND);
}

TEST(SentSequences, MapsWhatWasActedOnToItsRevision) {
  SentSequences sent;
  EXPECT_EQ(sent.Applied(0), 0u);
  EXPECT_EQ(sent.Add(10), 1u);
  EXPECT_EQ(sent.Add(12), 2u);
  EXPECT_EQ(sent.Applied(1), 10u);
  EXPECT_EQ(sent.Applied(1), 10u);
  EXPECT_EQ(sent.Applied(9), 10u);
  EXPECT_EQ(sent.Applied(2), 12u);
  EXPECT_EQ(sent.Applied(0), 12u);
}

TEST(SentSequences, ForgetsTheOldestOfVeryMany) {
  SentSequences sent;
  uint64_t last = 0;
  for (core::Revision revision = 1; revision <= 10'000; ++revision) {
    last = sent.Add(revision);
  }
  EXPECT_EQ(sent.Applied(1), 0u);
  EXPECT_EQ(sent.Applied(last - 1), 9'999u);
}

}  // namespace
}  // namespace trainyard::rpc
