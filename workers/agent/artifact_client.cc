#include "workers/agent/artifact_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

constexpr size_t kChunkBytes = 1024 * 1024;  // of artifact_service.proto
constexpr size_t kMaxDisplayNameBytes = 255;
constexpr absl::Duration kStatTimeout = absl::Seconds(30);
// Slowest transfer that is waited for; what comes later goes on from there.
constexpr double kSlowestBytesPerSecond = 64 * 1024;
constexpr absl::Duration kTransferTimeout = absl::Minutes(1);
constexpr absl::Duration kFetchTimeout = absl::Minutes(10);

absl::Status FromGrpc(const grpc::Status& status) {
  // The codes are the same numbers by design.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      status.error_message());
}

void SetTimeout(grpc::ClientContext& context, absl::Duration timeout) {
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(timeout));
}

absl::Duration TimeoutFor(uint64_t bytes) {
  return kTransferTimeout +
         absl::Seconds(static_cast<double>(bytes) / kSlowestBytesPerSecond);
}

bool IsUnreachable(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         // Ended from the other side; our own cancellation is looked at first.
         status.code() == absl::StatusCode::kCancelled;
}

bool IsFinal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

}  // namespace

ArtifactClient::ArtifactClient(std::shared_ptr<grpc::Channel> channel,
                               ArtifactClientOptions options, uint32_t seed)
    : stub_(v1::ArtifactService::NewStub(std::move(channel))),
      options_(options),
      seed_(seed) {}

absl::StatusOr<StoredBlob> ArtifactClient::Upload(const Content& content,
                                                  Cancellation* cancellation) {
  uint64_t received = 0;  // by the server, when last asked
  RETURN_IF_ERROR(Persist(
      [&](bool& progress) {
        const uint64_t before = received;
        const absl::Status status = UploadOnce(content, cancellation, received);
        progress = received > before;
        return status;
      },
      cancellation));
  return StoredBlob{content.artifact, content.size_bytes};
}

absl::Status ArtifactClient::UploadOnce(const Content& content,
                                        Cancellation* cancellation,
                                        uint64_t& received) {
  {
    grpc::ClientContext context;
    SetTimeout(context, kStatTimeout);
    const Cancellation::Call call(cancellation, &context);
    v1::StatArtifactRequest request;
    v1::StatArtifactResponse response;
    request.set_name(content.artifact);
    const grpc::Status status =
        stub_->StatArtifact(&context, request, &response);
    if (status.ok() && response.has_artifact()) return absl::OkStatus();
    if (!status.ok() && status.error_code() != grpc::StatusCode::NOT_FOUND) {
      return FromGrpc(status);
    }
    received = std::min(response.received_bytes(), content.size_bytes);
  }
  uint64_t offset = received;
  grpc::ClientContext context;
  SetTimeout(context, TimeoutFor(content.size_bytes - offset));
  const Cancellation::Call call(cancellation, &context);
  v1::UploadArtifactResponse response;
  const auto writer = stub_->UploadArtifact(&context, &response);
  v1::UploadArtifactRequest chunk;
  chunk.set_name(content.artifact);
  chunk.set_size_bytes(content.size_bytes);
  chunk.set_display_name(
      BoundedUtf8(content.display_name, kMaxDisplayNameBytes));
  absl::Status read_error;
  for (bool more = true; more;) {
    const size_t count = static_cast<size_t>(
        std::min<uint64_t>(kChunkBytes, content.size_bytes - offset));
    chunk.set_offset(offset);
    if (count > 0) {
      absl::StatusOr<std::string> bytes = content.read(offset, count);
      if (!bytes.ok()) {
        read_error = bytes.status();
        context.TryCancel();
        break;
      }
      offset += bytes->size();
      chunk.set_data(*std::move(bytes));
    }
    more = offset < content.size_bytes;
    if (!writer->Write(chunk)) break;
    chunk.Clear();
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  return read_error.ok() ? FromGrpc(status) : read_error;
}

absl::Status ArtifactClient::Fetch(const std::string& artifact, uint64_t offset,
                                   const Sink& sink,
                                   Cancellation* cancellation) {
  return Persist(
      [&](bool& progress) {
        return FetchOnce(artifact, offset, sink, cancellation, progress);
      },
      cancellation);
}

absl::Status ArtifactClient::FetchOnce(const std::string& artifact,
                                       uint64_t& offset, const Sink& sink,
                                       Cancellation* cancellation,
                                       bool& progress) {
  grpc::ClientContext context;
  SetTimeout(context, kFetchTimeout);
  const Cancellation::Call call(cancellation, &context);
  v1::DownloadArtifactRequest request;
  request.set_name(artifact);
  request.set_offset(offset);
  const auto reader = stub_->DownloadArtifact(&context, request);
  v1::DownloadArtifactResponse chunk;
  uint64_t size = 0;
  absl::Status sink_error;
  for (bool first = true; reader->Read(&chunk); first = false) {
    if (first) size = chunk.size_bytes();
    if (chunk.offset() != offset || offset > size ||
        chunk.data().size() > size - offset) {
      sink_error = absl::DataLossError(
          absl::StrCat(artifact, ": the server sent bytes ", chunk.offset(),
                       " to ", chunk.offset() + chunk.data().size(), " where ",
                       offset, " was due, of ", size));
    } else {
      sink_error = sink(chunk.data(), size);
    }
    if (!sink_error.ok()) {
      context.TryCancel();
      break;
    }
    offset += chunk.data().size();
    progress = true;
  }
  const grpc::Status status = reader->Finish();
  if (!sink_error.ok()) return sink_error;
  // We hold more than the server has: what we hold cannot be right.
  if (status.error_code() == grpc::StatusCode::OUT_OF_RANGE) {
    return absl::DataLossError(status.error_message());
  }
  return FromGrpc(status);
}

absl::Status ArtifactClient::Persist(
    const std::function<absl::Status(bool& progress)>& try_once,
    Cancellation* cancellation) {
  Backoff backoff(options_.backoff, seed_);
  for (int faults = 0;;) {
    bool progress = false;
    const absl::Status status = try_once(progress);
    if (status.ok()) return status;
    if (cancellation->cancelled()) return absl::CancelledError("given up");
    if (IsFinal(status)) return status;
    if (progress) {
      faults = 0;
      backoff.Reset();
    } else if (!IsUnreachable(status) && ++faults >= options_.max_faults) {
      return status;
    }
    spdlog::debug("transfer: {}; trying again", status.ToString());
    if (cancellation->WaitFor(backoff.Next())) {
      return absl::CancelledError("given up");
    }
  }
}

}  // namespace trainyard::agent
