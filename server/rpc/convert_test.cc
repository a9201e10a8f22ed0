#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "server/rpc/convert_job.h"
#include "server/rpc/convert_telemetry.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/convert_worker.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kArtifact = "sha256:" + std::string(64, 'a');

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(Times, GoRound) {
  for (const absl::Time time :
       {absl::UnixEpoch(), absl::FromUnixNanos(-1),
        absl::FromUnixNanos(1'700'000'000'123'456'789)}) {
    const auto back = FromProto("t", ToProto(time));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, time);
  }
  EXPECT_EQ(ToProto(absl::InfiniteFuture()).seconds(), 253'402'300'799);
  EXPECT_EQ(ToProto(absl::InfinitePast()).seconds(), -62'135'596'800);
}

TEST(Times, AreChecked) {
  google::protobuf::Timestamp wrong;
  wrong.set_nanos(-1);
  EXPECT_THAT(Message(FromProto("t", wrong).status()), StartsWith("t: 0 s -1"));
  wrong.set_nanos(1'000'000'000);
  EXPECT_FALSE(FromProto("t", wrong).ok());
  wrong.set_nanos(0);
  wrong.set_seconds(INT64_MAX);
  EXPECT_FALSE(FromProto("t", wrong).ok());
  wrong.set_seconds(INT64_MIN);
  EXPECT_FALSE(FromProto("t", wrong).ok());
}

TEST(Durations, GoRound) {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Milliseconds(1500),
        absl::Milliseconds(-1500), absl::Hours(24 * 365)}) {
    const auto back = FromProto("d", ToProto(duration));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, duration);
  }
  EXPECT_EQ(ToProto(absl::InfiniteDuration()).seconds(), 315'576'000'000);
}

TEST(Durations, AreChecked) {
  google::protobuf::Duration wrong;
  wrong.set_seconds(1);
  wrong.set_nanos(-1);
  EXPECT_FALSE(FromProto("d", wrong).ok());
  wrong.set_nanos(0);
  wrong.set_seconds(315'576'000'001);
  EXPECT_FALSE(FromProto("d", wrong).ok());
}

TEST(States, GoRound) {
  for (const core::JobState state :
       {core::JobState::kQueued, core::JobState::kStarting,
        core::JobState::kRunning, core::JobState::kSucceeded,
        core::JobState::kFailed, core::JobState::kCancelled}) {
    EXPECT_EQ(*FromProto("state", ToProto(state)), state);
  }
  EXPECT_THAT(
      Message(FromProto("state", v1::Job::STATE_UNSPECIFIED).status()),
      StartsWith("state: not set: must be one of queued, starting, running"));
  EXPECT_FALSE(FromProto("state", static_cast<v1::Job::State>(77)).ok());
}

TEST(Failures, AreCutWhereTheyAreTooLong) {
  v1::Failure proto;
  proto.set_message(std::string(5000, 'm'));
  proto.set_stderr_tail(std::string(20'000, 'a') + "the end");
  proto.set_category(static_cast<v1::Failure::Category>(99));
  proto.set_exit_code(-9);
  const core::Failure failure = FromProto(proto);
  EXPECT_EQ(failure.message.size(), 4096u);
  EXPECT_EQ(failure.stderr_tail.size(), 16u * 1024);
  EXPECT_THAT(failure.stderr_tail, testing::EndsWith("the end"));
  EXPECT_EQ(failure.category, core::FailureCategory::kUnknown);
  EXPECT_EQ(failure.exit_code, -9);
}

TEST(Failures, GoRound) {
  for (int category = 0; category <= 5; ++category) {
    const core::Failure failure = {static_cast<core::FailureCategory>(category),
                                   "m", "tail", 3};
    EXPECT_EQ(FromProto(ToProto(failure)), failure);
  }
}

TEST(Outputs, AreFileNames) {
  v1::Output output;
  output.set_artifact(kArtifact);
  for (const char* wrong : {"", ".", "..", "a/b", "/etc/passwd", "a\nb"}) {
    output.set_name(wrong);
    EXPECT_FALSE(FromProto("o", output).ok()) << wrong;
  }
  output.set_name("model.safetensors");
  EXPECT_TRUE(FromProto("o", output).ok());
  output.set_artifact("sha256:0");
  EXPECT_THAT(Message(FromProto("o", output).status()),
              StartsWith("o.artifact: "));
}

v1::JobSpec Spec() {
  v1::JobSpec spec;
  spec.set_name("glyphs");
  spec.set_priority(-5);
  (*spec.mutable_labels())["team"] = "wildlife";
  v1::TrainingSpec& training = *spec.mutable_training();
  training.mutable_model()->set_architecture("mlp");
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  training.mutable_data()->mutable_source()->set_path("/data");
  v1::DeviceRequest& device = *spec.mutable_resources()->add_devices();
  device.set_kind(v1::DEVICE_KIND_CUDA);
  device.set_count(2);
  device.set_min_memory_bytes(1 << 30);
  (*spec.mutable_resources()->mutable_worker_labels())["site"] = "office";
  spec.mutable_retry()->set_max_retries(0);
  spec.mutable_retry()->mutable_backoff()->set_nanos(500'000'000);
  spec.mutable_limits()->mutable_run_time()->set_seconds(60);
  EXPECT_TRUE(ValidateAndComplete(&spec).ok());
  return spec;
}

TEST(Submissions, SayWhatTheSchedulerNeeds) {
  const v1::JobSpec spec = Spec();
  const core::Submission submission = ToSubmission("id-1", spec);
  EXPECT_EQ(submission.request_id, "id-1");
  EXPECT_EQ(submission.name, "glyphs");
  EXPECT_EQ(submission.labels, (core::Labels{{"team", "wildlife"}}));
  const core::SchedulingSpec& scheduling = submission.scheduling;
  EXPECT_EQ(scheduling.priority, -5);
  EXPECT_THAT(scheduling.devices,
              ElementsAre(core::DeviceRequest{core::DeviceKind::kCuda, 2,
                                              uint64_t{1} << 30}));
  EXPECT_EQ(scheduling.worker_labels, (core::Labels{{"site", "office"}}));
  EXPECT_EQ(scheduling.max_retries, 0u);
  EXPECT_EQ(scheduling.backoff, absl::Milliseconds(500));
  EXPECT_EQ(scheduling.run_time_limit, absl::Minutes(1));
  EXPECT_EQ(scheduling.queue_time_limit, absl::InfiniteDuration());
  v1::JobSpec stored;
  ASSERT_TRUE(stored.ParseFromString(submission.spec));
  EXPECT_TRUE(MessageDifferencer::Equals(stored, spec));
}

TEST(Jobs, HaveAllThatIsStored) {
  engine::StoredJob stored;
  stored.id = core::JobId(7);
  stored.revision = 9;
  stored.state = core::JobState::kFailed;
  stored.spec = Spec().SerializeAsString();
  stored.submit_time = absl::FromUnixSeconds(100);
  stored.end_time = absl::FromUnixSeconds(300);
  stored.cancel_requested = true;
  stored.reason = "why";
  stored.checkpoint = core::Checkpoint{40, kArtifact, 5};
  stored.outputs.push_back({"report.json", kArtifact, 6});
  engine::StoredAttempt attempt;
  attempt.number = 1;
  attempt.worker = core::WorkerName("mac");
  attempt.devices = {"mps"};
  attempt.outcome = core::Outcome::kLost;
  attempt.place_time = absl::FromUnixSeconds(200);
  stored.attempts.push_back(attempt);

  const absl::StatusOr<v1::Job> job = ToProto(stored);
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->name(), "jobs/7");
  EXPECT_EQ(job->state(), v1::Job::STATE_FAILED);
  EXPECT_EQ(job->revision(), 9u);
  EXPECT_TRUE(MessageDifferencer::Equals(job->spec(), Spec()));
  EXPECT_EQ(job->submit_time().seconds(), 100);
  EXPECT_FALSE(job->has_start_time());
  EXPECT_EQ(job->end_time().seconds(), 300);
  EXPECT_TRUE(job->cancel_requested());
  EXPECT_EQ(job->reason(), "why");
  EXPECT_EQ(job->checkpoint().step(), 40u);
  EXPECT_EQ(job->outputs(0).name(), "report.json");
  ASSERT_EQ(job->attempts_size(), 1);
  EXPECT_EQ(job->attempts(0).worker(), "workers/mac");
  EXPECT_EQ(job->attempts(0).devices(0), "mps");
  EXPECT_EQ(job->attempts(0).outcome(), v1::Attempt::OUTCOME_LOST);
  EXPECT_FALSE(job->attempts(0).has_end_time());

  stored.spec = "\xff\xff";
  EXPECT_EQ(ToProto(stored).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Filters, BecomeQueries) {
  v1::JobFilter filter;
  filter.add_states(v1::Job::STATE_RUNNING);
  filter.add_names("jobs/3");
  filter.set_spec_name("glyphs");
  (*filter.mutable_labels())["team"] = "wildlife";
  const auto query = ToQuery(filter);
  ASSERT_TRUE(query.ok());
  EXPECT_THAT(query->states, ElementsAre(core::JobState::kRunning));
  EXPECT_THAT(query->jobs, ElementsAre(core::JobId(3)));
  EXPECT_EQ(query->name, "glyphs");
  EXPECT_EQ(query->labels.at("team"), "wildlife");

  filter.add_names("17");
  EXPECT_THAT(Message(ToQuery(filter).status()),
              StartsWith("filter.names[1]: \"17\": must be"));
  filter.clear_names();
  filter.add_states(v1::Job::STATE_UNSPECIFIED);
  EXPECT_THAT(Message(ToQuery(filter).status()),
              StartsWith("filter.states[1]: not set"));
  filter.clear_states();
  for (int i = 0; i < 1001; ++i) filter.add_names("jobs/1");
  EXPECT_THAT(Message(ToQuery(filter).status()),
              StartsWith("filter.names: 1,001 entries: must be at most 1,000"));
}

v1::SynchronizeRequest Report() {
  v1::SynchronizeRequest request;
  request.set_worker("mac-mini");
  request.set_instance_id("i-1");
  request.set_version("0.1.0");
  request.set_platform("darwin arm64");
  v1::Device& device = *request.add_devices();
  device.set_id("mps");
  device.set_kind(v1::DEVICE_KIND_MPS);
  device.set_model("Apple M4 Pro");
  device.set_memory_bytes(100);
  device.set_free_memory_bytes(70);
  v1::AttemptStatus& running = *request.add_attempts();
  running.mutable_key()->set_job(1);
  running.mutable_key()->set_attempt(2);
  running.set_phase(v1::AttemptStatus::PHASE_RUNNING);
  running.mutable_checkpoint()->set_step(10);
  running.mutable_checkpoint()->set_artifact(kArtifact);
  v1::AttemptStatus& ended = *request.add_attempts();
  ended.mutable_key()->set_job(2);
  ended.mutable_key()->set_attempt(1);
  ended.set_phase(v1::AttemptStatus::PHASE_ENDED);
  ended.set_outcome(v1::Attempt::OUTCOME_SUCCEEDED);
  v1::Output& output = *ended.add_outputs();
  output.set_name("model.safetensors");
  output.set_artifact(kArtifact);
  return request;
}

TEST(WorkerReports, SayWhatTheWorkerIs) {
  const auto report = FromProto(Report());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->worker, core::WorkerName("mac-mini"));
  EXPECT_EQ(report->instance, "i-1");
  EXPECT_THAT(report->devices,
              ElementsAre(core::Device{"mps", core::DeviceKind::kMps,
                                       "Apple M4 Pro", 100, 70, 0}));
  ASSERT_EQ(report->attempts.size(), 2u);
  EXPECT_EQ(report->attempts[0].key, (core::AttemptKey{core::JobId(1), 2}));
  EXPECT_EQ(report->attempts[0].phase, core::Phase::kRunning);
  EXPECT_EQ(report->attempts[0].checkpoint->step, 10u);
  EXPECT_EQ(report->attempts[1].outcome, core::Outcome::kSucceeded);
  EXPECT_EQ(report->attempts[1].outputs[0].name, "model.safetensors");
  EXPECT_EQ(report->applied_revision, 0u);
}

TEST(WorkerReports, AreCheckedAsHostile) {
  struct Case {
    std::function<void(v1::SynchronizeRequest*)> change;
    std::string error;
  };
  const std::vector<Case> cases = {
      {[](auto* r) { r->set_worker("Mac"); }, "worker: \"Mac\": must be"},
      {[](auto* r) { r->set_worker("../x"); }, "worker: "},
      {[](auto* r) { r->clear_instance_id(); }, "instance_id: \"\": must be"},
      {[](auto* r) { r->set_instance_id(std::string(65, 'i')); },
       "instance_id: "},
      {[](auto* r) { r->set_version(std::string(257, 'v')); }, "version: "},
      {[](auto* r) { r->set_platform("a\nb"); }, "platform: \"a\\nb\""},
      {[](auto* r) {
         for (int i = 0; i < 256; ++i) r->add_devices();
       },
       "devices: 257 entries: must be at most 256"},
      {[](auto* r) {
         for (int i = 0; i < 1024; ++i) r->add_attempts();
       },
       "attempts: 1,026 entries: must be at most 1,024"},
      {[](auto* r) { *r->add_devices() = r->devices(0); },
       "devices[1].id: \"mps\" appears twice"},
      {[](auto* r) { r->mutable_devices(0)->set_id("a b"); },
       "devices[0].id: \"a b\": must be"},
      {[](auto* r) { r->mutable_devices(0)->clear_kind(); },
       "devices[0].kind: not set"},
      {[](auto* r) { *r->add_attempts() = r->attempts(0); },
       "attempts[2].key: jobs/1/attempts/2 appears twice"},
      {[](auto* r) { r->mutable_attempts(0)->clear_key(); },
       "attempts[0].key: job 0, attempt 0: must be"},
      {[](auto* r) {
         r->mutable_attempts(0)->mutable_key()->set_job(UINT64_MAX);
       },
       "attempts[0].key: job 18446744073709551615"},
      {[](auto* r) { r->mutable_attempts(0)->clear_phase(); },
       "attempts[0].phase: 0: must be one of"},
      {[](auto* r) {
         r->mutable_attempts(0)->set_outcome(v1::Attempt::OUTCOME_FAILED);
       },
       "attempts[0].outcome: set: an attempt that has not ended has none"},
      {[](auto* r) { r->mutable_attempts(1)->clear_outcome(); },
       "attempts[1].outcome: not set: an ended attempt has one"},
      {[](auto* r) {
         r->mutable_attempts(1)->clear_outputs();
         r->mutable_attempts(1)->set_outcome(v1::Attempt::OUTCOME_LOST);
       },
       "attempts[1].outcome: 3: must be one of succeeded"},
      {[](auto* r) { r->mutable_attempts(1)->mutable_failure(); },
       "attempts[1].failure: set: only a failed attempt has one"},
      {[](auto* r) {
         r->mutable_attempts(1)->set_outcome(v1::Attempt::OUTCOME_CANCELLED);
       },
       "attempts[1].outputs: set: only an attempt that succeeded"},
      {[](auto* r) {
         *r->mutable_attempts(1)->add_outputs() = r->attempts(1).outputs(0);
       },
       "attempts[1].outputs[1].name: \"model.safetensors\" appears twice"},
      {[](auto* r) {
         r->mutable_attempts(0)->mutable_checkpoint()->set_artifact("x");
       },
       "attempts[0].checkpoint.artifact: \"x\": must be"},
      {[](auto* r) { (*r->mutable_labels())[std::string(64, 'k')] = ""; },
       "labels: key: "},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.error);
    v1::SynchronizeRequest request = Report();
    c.change(&request);
    const auto report = FromProto(request);
    EXPECT_EQ(report.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(report.status()), StartsWith(c.error));
  }
}

TEST(WorkerReports, GiveAFailureWithoutCauseOne) {
  v1::SynchronizeRequest request = Report();
  v1::AttemptStatus& ended = *request.mutable_attempts(1);
  ended.clear_outputs();
  ended.set_outcome(v1::Attempt::OUTCOME_FAILED);
  const auto report = FromProto(request);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->attempts[1].failure->message, "the worker gave no cause");
}

TEST(WorkerReports, BoundFreeMemoryByTheWhole) {
  v1::SynchronizeRequest request = Report();
  request.mutable_devices(0)->set_free_memory_bytes(UINT64_MAX);
  EXPECT_EQ(FromProto(request)->devices[0].free_memory_bytes, 100u);
}

TEST(Desired, SaysWhatTheWorkerShouldBe) {
  core::Desired desired;
  desired.draining = true;
  desired.attempts.push_back({{core::JobId(4), 2},
                              core::Action::kPreempt,
                              {"cuda:GPU-1"},
                              core::Checkpoint{3, kArtifact, 4}});
  const v1::SynchronizeResponse response =
      ToProto(desired, 8, absl::Seconds(5));
  EXPECT_EQ(response.sequence(), 8u);
  EXPECT_EQ(response.heartbeat_interval().seconds(), 5);
  EXPECT_TRUE(response.draining());
  ASSERT_EQ(response.attempts_size(), 1);
  EXPECT_EQ(response.attempts(0).key().job(), 4u);
  EXPECT_EQ(response.attempts(0).action(), v1::DesiredAttempt::ACTION_PREEMPT);
  EXPECT_EQ(response.attempts(0).devices(0), "cuda:GPU-1");
  EXPECT_EQ(response.attempts(0).checkpoint().step(), 3u);
  EXPECT_FALSE(response.attempts(0).has_spec());
}

TEST(Workers, HaveAllThatIsKnown) {
  core::Worker worker;
  worker.name = core::WorkerName("gpu-1");
  worker.state = core::WorkerState::kLost;
  worker.draining = true;
  worker.last_seen = absl::FromUnixSeconds(50);
  worker.labels = {{"site", "office"}};
  worker.devices.push_back({"cpu", core::DeviceKind::kCpu, "model", 10, 5, 2});
  worker.attempts.insert({core::JobId(3), 1});
  const v1::Worker proto = ToProto(worker);
  EXPECT_EQ(proto.name(), "workers/gpu-1");
  EXPECT_EQ(proto.state(), v1::Worker::STATE_LOST);
  EXPECT_TRUE(proto.draining());
  EXPECT_EQ(proto.devices(0).cores(), 2u);
  EXPECT_EQ(proto.labels().at("site"), "office");
  EXPECT_EQ(proto.last_seen_time().seconds(), 50);
  EXPECT_THAT(proto.attempts(), ElementsAre("jobs/3/attempts/1"));
}

v1::TelemetryRecord Record(uint64_t sequence) {
  v1::TelemetryRecord record;
  record.mutable_key()->set_job(1);
  record.mutable_key()->set_attempt(1);
  record.set_sequence(sequence);
  return record;
}

TEST(Telemetry, GoesRound) {
  v1::ReportTelemetryRequest request;
  *request.add_records() = Record(1);
  request.mutable_records(0)->mutable_line()->set_text("hello");
  *request.add_records() = Record(2);
  v1::MetricPoint& point = *request.mutable_records(1)->mutable_point();
  point.set_step(5);
  point.set_loss(0.5);
  const auto entries = FromProto(request);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].kind, telemetry::Kind::kLine);
  EXPECT_FALSE((*entries)[0].progress.has_value());
  EXPECT_EQ((*entries)[1].kind, telemetry::Kind::kPoint);
  EXPECT_EQ((*entries)[1].progress->step, 5u);
  EXPECT_EQ((*entries)[1].progress->loss, 0.5);
  EXPECT_FALSE((*entries)[1].progress->samples_per_second.has_value());

  const auto line = ToLogLine({1, 1, (*entries)[0].payload});
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->line().text(), "hello");
  const auto back = ToMetricPoint({1, 1, (*entries)[1].payload});
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(MessageDifferencer::Equals(back->point(), point));
  EXPECT_EQ(ToLogLine({1, 1, "\xff"}).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST(Telemetry, IsCheckedAsHostile) {
  v1::ReportTelemetryRequest request;
  *request.add_records() = Record(1);
  EXPECT_THAT(Message(FromProto(request).status()),
              StartsWith("records[0]: not set"));
  request.mutable_records(0)->mutable_line();
  request.mutable_records(0)->set_sequence(0);
  EXPECT_THAT(Message(FromProto(request).status()),
              StartsWith("records[0].sequence: 0: must be"));
  request.mutable_records(0)->clear_key();
  EXPECT_THAT(Message(FromProto(request).status()),
              StartsWith("records[0].key: "));
  for (int i = 0; i < 1000; ++i) request.add_records();
  EXPECT_THAT(Message(FromProto(request).status()),
              HasSubstr("1,001 entries: must be at most 1,000"));
  request.clear_records();
  *request.add_records() = Record(1);
  request.mutable_records(0)->mutable_point()->add_devices()->set_id(
      std::string(kMaxPointBytes, 'x'));
  EXPECT_THAT(Message(FromProto(request).status()),
              StartsWith("records[0].point: "));
}

TEST(Telemetry, LosesNoLineForItsLengthOrTime) {
  v1::ReportTelemetryRequest request;
  *request.add_records() = Record(1);
  v1::LogLine& line = *request.mutable_records(0)->mutable_line();
  line.set_text(std::string(9000, 'x'));
  line.mutable_time()->set_nanos(-1);
  const auto entries = FromProto(request);
  ASSERT_TRUE(entries.ok());
  const auto back = ToLogLine({1, 1, (*entries)[0].payload});
  EXPECT_EQ(back->line().text().size(), kMaxLineBytes);
  EXPECT_FALSE(back->line().has_time());
}

}  // namespace
}  // namespace trainyard::rpc
