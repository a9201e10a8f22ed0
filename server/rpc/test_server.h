// A whole server on a free port with everything behind it in memory, for tests
// of the services.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "server/auth/authority.h"
#include "server/auth/fake_token_store.h"
#include "server/engine/engine.h"
#include "server/engine/fake_blobs.h"
#include "server/engine/fake_store.h"
#include "server/rpc/server.h"
#include "server/telemetry/fake_points.h"
#include "server/telemetry/hub.h"
#include "trainyard/v1/fleet_service.grpc.pb.h"
#include "trainyard/v1/job_service.grpc.pb.h"
#include "trainyard/v1/queue_service.grpc.pb.h"
#include "trainyard/v1/worker_service.grpc.pb.h"

namespace trainyard::rpc {

// A call that fails rather than hangs.
inline std::unique_ptr<grpc::ClientContext> TestContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
  return context;
}

// A job that any CPU can run.
inline v1::JobSpec TestSpec() {
  v1::JobSpec spec;
  v1::TrainingSpec* training = spec.mutable_training();
  training->mutable_model()->set_architecture("mlp");
  training->mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  training->mutable_data()->mutable_source()->set_path("/data/mnist");
  spec.mutable_resources()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  return spec;
}

class ServerTest : public testing::Test {
 protected:
  ServerTest() { Restart(); }

  // The store and all it holds stay.
  void Restart() {
    Stop();
    engine::EngineOptions engine_options;
    engine_options.tick_interval = absl::Milliseconds(5);
    engine_ = std::make_unique<engine::Engine>(engine_options, RealClock(),
                                               &store_, &engine_metrics_);
    ASSERT_TRUE(engine_->Start().ok());
    hub_ = std::make_unique<telemetry::Hub>(telemetry::HubOptions(), &points_);
    Backends backends;
    backends.engine = engine_.get();
    backends.jobs = &store_;
    backends.blobs = &blobs_;
    backends.hub = hub_.get();
    backends.points = &points_;
    backends.fleet_readings = &fleet_readings_;
    backends.metrics = &metrics_;
    backends.clock = RealClock();
    authority_ =
        *auth::Authority::Load(authority_options_, &tokens_, RealClock());
    backends.authority = authority_.get();
    options_.listen = "127.0.0.1:0";
    options_.pulse = absl::Milliseconds(5);
    auto server = Server::Start(options_, backends);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    // A channel of its own, so that no test waits for another's backoff.
    const auto channel = grpc::CreateChannel(
        server_->address(), grpc::InsecureChannelCredentials());
    jobs_ = v1::JobService::NewStub(channel);
    fleet_ = v1::FleetService::NewStub(channel);
    queues_ = v1::QueueService::NewStub(channel);
    workers_ = v1::WorkerService::NewStub(channel);
  }

  void Stop() {
    if (server_ != nullptr) server_->Stop(absl::Seconds(10));
    if (hub_ != nullptr) hub_->Stop();
    if (engine_ != nullptr) engine_->Stop();
    server_ = nullptr;
    hub_ = nullptr;
    engine_ = nullptr;
  }

  ~ServerTest() override { Stop(); }

  // The new job; failures are reported.
  v1::Job Submit(const v1::JobSpec& spec, const std::string& request_id = "") {
    v1::SubmitJobRequest request;
    request.set_request_id(request_id);
    *request.mutable_spec() = spec;
    v1::SubmitJobResponse response;
    const auto status =
        jobs_->SubmitJob(TestContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.job();
  }

  v1::Job Get(const std::string& name) {
    v1::GetJobRequest request;
    request.set_name(name);
    v1::GetJobResponse response;
    const auto status = jobs_->GetJob(TestContext().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.job();
  }

  // Follows the job until it is final; every state that was seen, in order.
  std::vector<v1::Job::State> WatchToEnd(const std::string& name) {
    v1::WatchJobsRequest request;
    request.mutable_filter()->add_names(name);
    request.set_until_final(true);
    const auto context = TestContext();
    const auto reader = jobs_->WatchJobs(context.get(), request);
    v1::WatchJobsResponse response;
    std::vector<v1::Job::State> states;
    while (reader->Read(&response)) {
      for (const v1::Job& job : response.jobs()) states.push_back(job.state());
    }
    const auto status = reader->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return states;
  }

  engine::FakeStore store_;
  engine::FakeBlobs blobs_{RealClock()};
  engine::NoMetrics engine_metrics_;
  telemetry::FakePoints points_;
  auth::FakeTokenStore tokens_;
  auth::AuthorityOptions authority_options_;
  std::unique_ptr<auth::Authority> authority_;
  telemetry::NoRpcMetrics metrics_;
  ServerOptions options_;
  std::unique_ptr<engine::Engine> engine_;
  telemetry::FleetReadings fleet_readings_;
  std::unique_ptr<telemetry::Hub> hub_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::FleetService::Stub> fleet_;
  std::unique_ptr<v1::QueueService::Stub> queues_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
};

// A worker as the server sees it: a stream, driven by hand.
class TestWorker {
 public:
  TestWorker(v1::WorkerService::Stub* stub, const std::string& name,
             const std::string& instance = "one")
      : context_(TestContext()), stream_(stub->Synchronize(context_.get())) {
    report.set_worker(name);
    report.set_instance_id(instance);
    report.set_version("0.1.0");
    report.set_platform("linux x86_64");
    v1::Device* device = report.add_devices();
    device->set_id("cpu");
    device->set_kind(v1::DEVICE_KIND_CPU);
    device->set_memory_bytes(8ull << 30);
    device->set_free_memory_bytes(8ull << 30);
    device->set_cores(2);
  }
  ~TestWorker() {
    if (stream_ == nullptr) return;
    context_->TryCancel();
    stream_->Finish();
  }

  bool Report() { return stream_->Write(report); }
  // Waits for the next message; it is the newest then.
  bool Read() {
    if (!stream_->Read(&desired)) return false;
    report.set_applied_sequence(desired.sequence());
    return true;
  }
  // Reads until one attempt is to be held; false: the stream ended.
  bool ReadUntilAttempt() {
    while (Read()) {
      if (desired.attempts_size() > 0) return true;
    }
    return false;
  }
  bool ReadUntilEmpty() {
    while (Read()) {
      if (desired.attempts().empty()) return true;
    }
    return false;
  }
  // The status of the first desired attempt, to be filled.
  v1::AttemptStatus* Take() {
    report.clear_attempts();
    v1::AttemptStatus* status = report.add_attempts();
    *status->mutable_key() = desired.attempts(0).key();
    status->set_phase(v1::AttemptStatus::PHASE_RUNNING);
    return status;
  }
  // What is left of the stream, then its status.
  grpc::Status Finish() {
    stream_->WritesDone();
    v1::SynchronizeResponse ignored;
    while (stream_->Read(&ignored)) {
    }
    const grpc::Status status = stream_->Finish();
    stream_ = nullptr;
    return status;
  }

  v1::SynchronizeRequest report;
  v1::SynchronizeResponse desired;

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<v1::SynchronizeRequest, v1::SynchronizeResponse>>
      stream_;
};

}  // namespace trainyard::rpc
