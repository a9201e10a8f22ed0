#include "server/rpc/artifact_service.h"

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "server/auth/fake_token_store.h"
#include "server/engine/fake_blobs.h"

namespace trainyard::rpc {
namespace {

using ::grpc::StatusCode;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Name(char digit) { return "sha256:" + std::string(64, digit); }

// The service behind a real server on a free port.
class ArtifactServiceTest : public testing::Test {
 protected:
  using Writer = grpc::ClientWriter<v1::UploadArtifactRequest>;

  ArtifactServiceTest() { Start({}); }
  ~ArtifactServiceTest() override { Stop(); }

  void Start(ArtifactServiceOptions options) {
    Stop();
    pulse_ = std::make_unique<Pulse>(absl::Milliseconds(2), &clock_);
    executor_ = std::make_unique<Executor>(ExecutorOptions{.threads = 2});
    ports_.blobs = &blobs_;
    ports_.metrics = &metrics_;
    ports_.clock = &clock_;
    ports_.guard = &guard_;
    ports_.executor = executor_.get();
    ports_.pulse = pulse_.get();
    service_ = std::make_unique<ArtifactService>(ports_, options);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = v1::ArtifactService::NewStub(
        grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                            grpc::InsecureChannelCredentials()));
  }

  void Stop() {
    if (server_ == nullptr) return;
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    server_->Wait();
    server_ = nullptr;
    pulse_ = nullptr;
    executor_ = nullptr;
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return context;
  }

  static v1::UploadArtifactRequest Chunk(const std::string& name, uint64_t size,
                                         uint64_t offset,
                                         const std::string& data) {
    v1::UploadArtifactRequest chunk;
    chunk.set_name(name);
    chunk.set_size_bytes(size);
    chunk.set_offset(offset);
    chunk.set_data(data);
    chunk.set_display_name("a name");
    return chunk;
  }

  grpc::Status Upload(const std::vector<v1::UploadArtifactRequest>& chunks) {
    const auto context = Context();
    const auto writer = stub_->UploadArtifact(context.get(), &uploaded_);
    for (const v1::UploadArtifactRequest& chunk : chunks) {
      if (!writer->Write(chunk)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }

  grpc::Status Download(const std::string& name, uint64_t offset,
                        std::vector<v1::DownloadArtifactResponse>* chunks) {
    v1::DownloadArtifactRequest request;
    request.set_name(name);
    request.set_offset(offset);
    const auto context = Context();
    const auto reader = stub_->DownloadArtifact(context.get(), request);
    v1::DownloadArtifactResponse chunk;
    while (reader->Read(&chunk)) chunks->push_back(chunk);
    return reader->Finish();
  }

  v1::StatArtifactResponse Stat(const std::string& name) {
    v1::StatArtifactRequest request;
    request.set_name(name);
    v1::StatArtifactResponse response;
    const auto context = Context();
    EXPECT_TRUE(stub_->StatArtifact(context.get(), request, &response).ok());
    return response;
  }

  // Sends the first byte of a blob of two, and waits until it is stored.
  std::unique_ptr<Writer> BeginUpload(grpc::ClientContext* context,
                                      const std::string& name) {
    auto writer = stub_->UploadArtifact(context, &uploaded_);
    writer->Write(Chunk(name, 2, 0, "a"));
    while (Stat(name).received_bytes() == 0) {
    }
    return writer;
  }

  ManualClock clock_{absl::FromUnixSeconds(1000)};
  engine::FakeBlobs blobs_{&clock_};
  telemetry::NoRpcMetrics metrics_;
  auth::FakeTokenStore tokens_;
  const std::unique_ptr<auth::Authority> authority_ =
      *auth::Authority::Load({}, &tokens_, &clock_);
  Guard guard_{authority_.get(), &clock_};
  Ports ports_;
  std::unique_ptr<Pulse> pulse_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<ArtifactService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ArtifactService::Stub> stub_;
  v1::UploadArtifactResponse uploaded_;
};

TEST_F(ArtifactServiceTest, StoresABlobInChunks) {
  EXPECT_EQ(Stat(Name('a')).received_bytes(), 0u);
  EXPECT_FALSE(Stat(Name('a')).has_artifact());
  const grpc::Status status =
      Upload({Chunk(Name('a'), 6, 0, "abc"), Chunk("", 0, 3, "de"),
              Chunk("", 0, 5, "f")});
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(uploaded_.artifact().name(), Name('a'));
  EXPECT_EQ(uploaded_.artifact().size_bytes(), 6u);
  EXPECT_EQ(uploaded_.artifact().display_name(), "a name");
  EXPECT_EQ(uploaded_.artifact().create_time().seconds(), 1000);
  EXPECT_EQ(Stat(Name('a')).received_bytes(), 6u);
  EXPECT_EQ(Stat(Name('a')).artifact().size_bytes(), 6u);
}

TEST_F(ArtifactServiceTest, StoresAnEmptyBlob) {
  ASSERT_TRUE(Upload({Chunk(Name('a'), 0, 0, "")}).ok());
  std::vector<v1::DownloadArtifactResponse> chunks;
  ASSERT_TRUE(Download(Name('a'), 0, &chunks).ok());
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].size_bytes(), 0u);
}

TEST_F(ArtifactServiceTest, GoesOnWhereABrokenUploadWas) {
  const auto context = Context();
  const auto writer = BeginUpload(context.get(), Name('a'));
  context->TryCancel();
  EXPECT_EQ(writer->Finish().error_code(), StatusCode::CANCELLED);
  EXPECT_EQ(Stat(Name('a')).received_bytes(), 1u);

  const grpc::Status wrong = Upload({Chunk(Name('a'), 2, 0, "ab")});
  EXPECT_EQ(wrong.error_code(), StatusCode::OUT_OF_RANGE);
  EXPECT_THAT(wrong.error_message(), HasSubstr("must be 1"));
  EXPECT_TRUE(Upload({Chunk(Name('a'), 2, 1, "b")}).ok());
}

TEST_F(ArtifactServiceTest, TellsThatBytesAreMissing) {
  EXPECT_EQ(Upload({Chunk(Name('a'), 2, 0, "a")}).error_code(),
            StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(Stat(Name('a')).received_bytes(), 1u);
}

TEST_F(ArtifactServiceTest, AnswersAtOnceWhereTheBlobIsThere) {
  ASSERT_TRUE(Upload({Chunk(Name('a'), 1, 0, "a")}).ok());
  clock_.Advance(absl::Seconds(5));
  const auto context = Context();
  const auto writer = stub_->UploadArtifact(context.get(), &uploaded_);
  writer->Write(Chunk(Name('a'), 1, 0, ""));
  EXPECT_TRUE(writer->Finish().ok());  // without the end of the stream
  EXPECT_EQ(uploaded_.artifact().create_time().seconds(), 1000);
}

TEST_F(ArtifactServiceTest, TellsOfBytesWithAnotherHash) {
  EXPECT_EQ(Upload({Chunk(Name('a'), 7, 0, "damaged")}).error_code(),
            StatusCode::DATA_LOSS);
  EXPECT_EQ(Stat(Name('a')).received_bytes(), 0u);
}

TEST_F(ArtifactServiceTest, RefusesWrongChunks) {
  const auto error = [&](std::vector<v1::UploadArtifactRequest> chunks) {
    const grpc::Status status = Upload(chunks);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  EXPECT_THAT(error({}), StartsWith("name: not set: must be in the first"));
  EXPECT_THAT(error({Chunk("../etc/passwd", 1, 0, "a")}),
              StartsWith("name: \"../etc/passwd\": must be"));
  EXPECT_THAT(error({Chunk(Name('a'), UINT64_MAX, 0, "a")}),
              StartsWith("size_bytes: 18446744073709551615: must be"));
  EXPECT_THAT(
      error({Chunk(Name('a'), 2 << 20, 0, std::string((1 << 20) + 1, 'x'))}),
      StartsWith("data: 1,048,577 bytes: must be at most 1 MiB"));
  v1::UploadArtifactRequest chunk = Chunk(Name('a'), 1, 0, "a");
  chunk.set_display_name(std::string(256, 'n'));
  EXPECT_THAT(error({chunk}), StartsWith("display_name: "));
}

TEST_F(ArtifactServiceTest, SendsABlobInChunksFromAnOffset) {
  const std::string bytes = std::string(1 << 20, 'a') + "bc";
  ASSERT_TRUE(Upload({Chunk(Name('b'), bytes.size(), 0, bytes.substr(0, 9)),
                      Chunk("", 0, 9, bytes.substr(9))})
                  .ok());
  std::vector<v1::DownloadArtifactResponse> chunks;
  ASSERT_TRUE(Download(Name('b'), 1, &chunks).ok());
  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].offset(), 1u);
  EXPECT_EQ(chunks[0].size_bytes(), bytes.size());
  EXPECT_EQ(chunks[1].offset(), 1u + (1 << 20));
  EXPECT_EQ(chunks[0].data() + chunks[1].data(), bytes.substr(1));
}

TEST_F(ArtifactServiceTest, RefusesWrongDownloads) {
  std::vector<v1::DownloadArtifactResponse> chunks;
  EXPECT_EQ(Download("x", 0, &chunks).error_code(),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Download(Name('a'), 0, &chunks).error_code(),
            StatusCode::NOT_FOUND);
  ASSERT_TRUE(Upload({Chunk(Name('a'), 1, 0, "a")}).ok());
  EXPECT_EQ(Download(Name('a'), 2, &chunks).error_code(),
            StatusCode::OUT_OF_RANGE);
  EXPECT_TRUE(Download(Name('a'), 1, &chunks).ok());
}

TEST_F(ArtifactServiceTest, ListsByPages) {
  for (const char digit : {'a', 'b', 'c'}) {
    ASSERT_TRUE(Upload({Chunk(Name(digit), 0, 0, "")}).ok());
  }
  v1::ListArtifactsRequest request;
  request.set_page_size(2);
  v1::ListArtifactsResponse response;
  ASSERT_TRUE(stub_->ListArtifacts(Context().get(), request, &response).ok());
  ASSERT_EQ(response.artifacts_size(), 2);
  EXPECT_EQ(response.artifacts(0).name(), Name('c'));
  request.set_page_token(response.next_page_token());
  ASSERT_TRUE(stub_->ListArtifacts(Context().get(), request, &response).ok());
  ASSERT_EQ(response.artifacts_size(), 1);
  EXPECT_EQ(response.next_page_token(), "");
  request.set_page_size(1001);
  EXPECT_EQ(
      stub_->ListArtifacts(Context().get(), request, &response).error_code(),
      StatusCode::INVALID_ARGUMENT);
}

TEST_F(ArtifactServiceTest, RefusesMoreTransfersThanItsSlots) {
  Start({.max_transfers = 1});
  const auto context = Context();
  const auto writer = BeginUpload(context.get(), Name('a'));
  std::vector<v1::DownloadArtifactResponse> chunks;
  EXPECT_EQ(Download(Name('a'), 0, &chunks).error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Upload({Chunk(Name('b'), 0, 0, "")}).error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
  writer->Write(Chunk("", 0, 1, "b"));
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  // The slot is free once gRPC is done with the call.
  grpc::Status status;
  do {
    status = Upload({Chunk(Name('b'), 0, 0, "")});
  } while (status.error_code() == StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(status.ok());
}

TEST_F(ArtifactServiceTest, CancelsATransferWhosePeerIsIdle) {
  const auto context = Context();
  const auto writer = BeginUpload(context.get(), Name('a'));
  absl::Notification ended;
  grpc::Status status;
  std::thread waiter([&] {
    status = writer->Finish();
    ended.Notify();
  });
  while (!ended.WaitForNotificationWithTimeout(absl::Milliseconds(5))) {
    clock_.Advance(absl::Minutes(1));
  }
  waiter.join();
  EXPECT_EQ(status.error_code(), StatusCode::CANCELLED);
  EXPECT_EQ(Stat(Name('a')).received_bytes(), 1u);
}

TEST_F(ArtifactServiceTest, EndsTransfersWhenTheServerStops) {
  const auto context = Context();
  const auto writer = BeginUpload(context.get(), Name('a'));
  pulse_->CloseAll();
  writer->Write(Chunk("", 0, 1, "b"));  // it may be the disk's turn at close
  EXPECT_THAT(writer->Finish().error_code(),
              testing::AnyOf(StatusCode::CANCELLED, StatusCode::UNAVAILABLE));
}

}  // namespace
}  // namespace trainyard::rpc
