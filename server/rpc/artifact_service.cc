#include "server/rpc/artifact_service.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/convert_values.h"
#include "server/rpc/names.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/validate.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr size_t kMaxDisplayName = 255;  // characters
constexpr size_t kPageSize = 100;

absl::Status CheckName(absl::string_view name) {
  if (IsArtifactName(name)) return absl::OkStatus();
  return WrongValue("name", Quoted(name),
                    "\"sha256:\" and 64 lower-case hex digits");
}

v1::Artifact ToProto(const engine::BlobInfo& blob) {
  v1::Artifact proto;
  proto.set_name(blob.name);
  proto.set_size_bytes(blob.size_bytes);
  *proto.mutable_create_time() = rpc::ToProto(blob.create_time);
  proto.set_display_name(blob.display_name);
  return proto;
}

// Chunks in, a blob out.
class Upload : public Transfer,
               public grpc::ServerReadReactor<v1::UploadArtifactRequest> {
 public:
  Upload(const Ports& ports, absl::Duration idle_limit, TransferSlots* slots,
         grpc::CallbackServerContext* context,
         v1::UploadArtifactResponse* response)
      : Transfer(ports, "ArtifactService/UploadArtifact", idle_limit, slots,
                 context),
        response_(response) {}

  void Begin(std::shared_ptr<Transfer> self) {
    if (Open(std::move(self))) ReadNext();
  }

 private:
  void ReadNext() {
    AwaitPeer();
    StartRead(&chunk_);
  }

  void OnReadDone(bool ok) override {
    RunOnDisk([this, ok] {
      const absl::Status status = ok ? TakeChunk() : Complete();
      if (!status.ok() || done_) return End(status);
      ReadNext();
    });
  }

  absl::Status TakeChunk() {
    if (chunk_.data().size() > kChunkBytes) {
      return WrongValue(
          "data", absl::StrCat(WithCommas(chunk_.data().size()), " bytes"),
          "at most 1 MiB");
    }
    if (writer_ == nullptr) {
      RETURN_IF_ERROR(CheckFirstChunk());
      ASSIGN_OR_RETURN(writer_,
                       ports().blobs->Resume(chunk_.name(), chunk_.size_bytes(),
                                             chunk_.display_name()));
      if (writer_->complete()) return Complete();
    }
    return writer_->Append(chunk_.offset(), chunk_.data());
  }

  absl::Status CheckFirstChunk() const {
    RETURN_IF_ERROR(CheckName(chunk_.name()));
    RETURN_IF_ERROR(
        CheckWhole("size_bytes", chunk_.size_bytes(), 0, kMaxNumber));
    if (CountCharacters(chunk_.display_name()) > kMaxDisplayName ||
        HasControlCharacters(chunk_.display_name())) {
      return WrongValue("display_name", Quoted(chunk_.display_name()),
                        "at most 255 characters, none of them a control "
                        "character");
    }
    return absl::OkStatus();
  }

  absl::Status Complete() {
    if (writer_ == nullptr) {
      return NotSet("name", "in the first chunk of the stream");
    }
    ASSIGN_OR_RETURN(const engine::BlobInfo blob, writer_->Finish());
    *response_->mutable_artifact() = ToProto(blob);
    done_ = true;
    return absl::OkStatus();
  }

  void FinishCall(const grpc::Status& status) override { Finish(status); }
  void OnDone() override { Done(); }

  v1::UploadArtifactResponse* const response_;
  // The disk's, or on its way.
  v1::UploadArtifactRequest chunk_;
  std::unique_ptr<engine::BlobWriter> writer_;
  bool done_ = false;
};

// A blob in, chunks out.
class Download : public Transfer,
                 public grpc::ServerWriteReactor<v1::DownloadArtifactResponse> {
 public:
  Download(const Ports& ports, absl::Duration idle_limit, TransferSlots* slots,
           grpc::CallbackServerContext* context,
           const v1::DownloadArtifactRequest& request)
      : Transfer(ports, "ArtifactService/DownloadArtifact", idle_limit, slots,
                 context),
        name_(request.name()),
        offset_(request.offset()) {}

  void Begin(std::shared_ptr<Transfer> self) {
    if (!Open(std::move(self))) return;
    RunOnDisk([this] { SendNext(OpenBlob()); });
  }

 private:
  absl::Status OpenBlob() {
    RETURN_IF_ERROR(CheckName(name_));
    ASSIGN_OR_RETURN(reader_, ports().blobs->Open(name_, offset_));
    chunk_.set_size_bytes(reader_->size_bytes());
    return absl::OkStatus();
  }

  void SendNext(const absl::Status& status) {
    if (!status.ok()) return End(status);
    chunk_.set_offset(reader_->offset());
    absl::StatusOr<std::string> bytes = reader_->Read(kChunkBytes);
    if (!bytes.ok()) return End(bytes.status());
    // The first chunk tells the size, whatever it holds.
    if (bytes->empty() && !first_) return End(absl::OkStatus());
    chunk_.set_data(*std::move(bytes));
    AwaitPeer();
    StartWrite(&chunk_);
  }

  void OnWriteDone(bool ok) override {
    RunOnDisk([this, ok] {
      if (!ok) return End(absl::CancelledError("the caller went away"));
      chunk_.Clear();
      first_ = false;
      SendNext(absl::OkStatus());
    });
  }

  void FinishCall(const grpc::Status& status) override { Finish(status); }
  void OnDone() override { Done(); }

  const std::string name_;
  const uint64_t offset_;
  // The disk's, or on its way.
  v1::DownloadArtifactResponse chunk_;
  std::unique_ptr<engine::BlobReader> reader_;
  bool first_ = true;
};

}  // namespace

ArtifactService::ArtifactService(const Ports& ports,
                                 ArtifactServiceOptions options)
    : ports_(ports), options_(options) {
  slots_.limit = options.max_transfers;
}

grpc::ServerUnaryReactor* ArtifactService::StatArtifact(
    grpc::CallbackServerContext* context,
    const v1::StatArtifactRequest* request,
    v1::StatArtifactResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "ArtifactService/StatArtifact",
      [&](const UnaryCall& call) {
        call.RunBlocking([this, request, response]() -> absl::Status {
          RETURN_IF_ERROR(CheckName(request->name()));
          ASSIGN_OR_RETURN(const engine::BlobStat stat,
                           ports_.blobs->Stat(request->name()));
          if (stat.blob) *response->mutable_artifact() = ToProto(*stat.blob);
          response->set_received_bytes(stat.received_bytes);
          return absl::OkStatus();
        });
      });
}

grpc::ServerReadReactor<v1::UploadArtifactRequest>*
ArtifactService::UploadArtifact(grpc::CallbackServerContext* context,
                                v1::UploadArtifactResponse* response) {
  const auto upload = std::make_shared<Upload>(ports_, options_.idle_limit,
                                               &slots_, context, response);
  upload->Begin(upload);
  return upload.get();
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>*
ArtifactService::DownloadArtifact(grpc::CallbackServerContext* context,
                                  const v1::DownloadArtifactRequest* request) {
  const auto download = std::make_shared<Download>(ports_, options_.idle_limit,
                                                   &slots_, context, *request);
  download->Begin(download);
  return download.get();
}

grpc::ServerUnaryReactor* ArtifactService::ListArtifacts(
    grpc::CallbackServerContext* context,
    const v1::ListArtifactsRequest* request,
    v1::ListArtifactsResponse* response) {
  return UnaryCall::Serve(
      ports_, context, "ArtifactService/ListArtifacts",
      [&](const UnaryCall& call) {
        call.RunBlocking([this, request, response]() -> absl::Status {
          ASSIGN_OR_RETURN(const size_t size,
                           PageSize(request->page_size(), kPageSize));
          ASSIGN_OR_RETURN(engine::BlobStore::Page page,
                           ports_.blobs->List(size, request->page_token()));
          for (const engine::BlobInfo& blob : page.blobs) {
            *response->add_artifacts() = ToProto(blob);
          }
          response->set_next_page_token(std::move(page.next_page_token));
          return absl::OkStatus();
        });
      });
}

}  // namespace trainyard::rpc
