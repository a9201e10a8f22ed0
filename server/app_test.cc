#include "server/app.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "server/adapters/sha256.h"
#include "server/adapters/temp_folder.h"
#include "trainyard/v1/artifact_service.grpc.pb.h"
#include "trainyard/v1/job_service.grpc.pb.h"

namespace trainyard {
namespace {

using testing::HasSubstr;

class AppTest : public testing::Test {
 protected:
  ServerFlags Flags() const {
    ServerFlags flags;
    flags.listen = "127.0.0.1:0";
    flags.metrics_address = "127.0.0.1:0";
    flags.state_dir = folder_.path() + "/a/b";
    return flags;
  }

  void Start() {
    app_ = nullptr;
    auto app = App::Start(Flags());
    ASSERT_TRUE(app.ok()) << app.status();
    app_ = *std::move(app);
    channel_ = grpc::CreateChannel(app_->address(),
                                   grpc::InsecureChannelCredentials());
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return context;
  }

  static v1::SubmitJobRequest Request(const std::string& request_id,
                                      const std::string& artifact) {
    v1::SubmitJobRequest request;
    request.set_request_id(request_id);
    v1::TrainingSpec* training = request.mutable_spec()->mutable_training();
    training->mutable_model()->set_architecture("mnist_cnn");
    training->mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
    training->mutable_data()->mutable_source()->set_artifact(artifact);
    return request;
  }

  // The name of the stored blob.
  std::string Upload(const std::string& bytes) {
    adapters::Sha256 hash;
    hash.Update(bytes);
    v1::UploadArtifactRequest chunk;
    chunk.set_name(absl::StrCat("sha256:", hash.HexDigest()));
    chunk.set_size_bytes(bytes.size());
    chunk.set_data(bytes);
    v1::UploadArtifactResponse response;
    const auto context = Context();
    const auto stub = v1::ArtifactService::NewStub(channel_);
    const auto writer = stub->UploadArtifact(context.get(), &response);
    writer->Write(chunk);
    writer->WritesDone();
    const auto status = writer->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.artifact().name();
  }

  adapters::TempFolder folder_;
  std::unique_ptr<App> app_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(AppTest, KeepsJobsRequestsAndArtifactsOverARestart) {
  Start();
  const std::string artifact = Upload("some bytes");
  auto jobs = v1::JobService::NewStub(channel_);
  v1::SubmitJobResponse first;
  auto status =
      jobs->SubmitJob(Context().get(), Request("r", artifact), &first);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(first.job().name(), "jobs/1");

  Start();
  jobs = v1::JobService::NewStub(channel_);
  v1::SubmitJobResponse again;
  status = jobs->SubmitJob(Context().get(), Request("r", artifact), &again);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(again.job().name(), "jobs/1");
  EXPECT_EQ(again.job().spec().SerializeAsString(),
            first.job().spec().SerializeAsString());
  status = jobs->SubmitJob(Context().get(), Request("", artifact), &again);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(again.job().name(), "jobs/2");
}

TEST_F(AppTest, RefusesAStateFolderInUse) {
  Start();
  const auto second = App::Start(Flags());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(Flags().state_dir));
}

TEST_F(AppTest, RefusesAnAddressInUse) {
  Start();
  ServerFlags flags = Flags();
  flags.listen = app_->address();
  flags.state_dir = folder_.path() + "/other";
  const auto second = App::Start(flags);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(app_->address()));
}

TEST_F(AppTest, StopsWithOpenStreams) {
  Start();
  const auto context = Context();
  const auto jobs = v1::JobService::NewStub(channel_);
  const auto reader = jobs->WatchJobs(context.get(), {});
  reader->WaitForInitialMetadata();
  app_->Stop();
  app_->Stop();
  v1::WatchJobsResponse response;
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace trainyard
