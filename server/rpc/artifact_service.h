// The artifact store over gRPC: resumable uploads and downloads in chunks.
//
//   ArtifactService artifacts(ports, {});
//   builder.RegisterService(&artifacts);
//
// The disk is worked on by the executor's threads; a transfer has at most one
// task there and holds at most one chunk.
//
// Thread-safe.
#pragma once

#include <cstddef>

#include "absl/time/time.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/ports.h"
#include "server/rpc/transfer.h"
#include "trainyard/v1/artifact_service.grpc.pb.h"

namespace trainyard::rpc {

struct ArtifactServiceOptions {
  size_t max_transfers = 256;  // at a time; more: RESOURCE_EXHAUSTED
  // A transfer whose peer does nothing for so long is cancelled.
  absl::Duration idle_limit = absl::Minutes(1);
};

class ArtifactService final : public v1::ArtifactService::CallbackService {
 public:
  // Needs of the ports: blobs, metrics, clock, executor, pulse.
  ArtifactService(const Ports& ports, ArtifactServiceOptions options);

  // Where nothing of the blob is here: OK with received_bytes 0.
  grpc::ServerUnaryReactor* StatArtifact(
      grpc::CallbackServerContext* context,
      const v1::StatArtifactRequest* request,
      v1::StatArtifactResponse* response) override;
  grpc::ServerReadReactor<v1::UploadArtifactRequest>* UploadArtifact(
      grpc::CallbackServerContext* context,
      v1::UploadArtifactResponse* response) override;
  grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* DownloadArtifact(
      grpc::CallbackServerContext* context,
      const v1::DownloadArtifactRequest* request) override;
  grpc::ServerUnaryReactor* ListArtifacts(
      grpc::CallbackServerContext* context,
      const v1::ListArtifactsRequest* request,
      v1::ListArtifactsResponse* response) override;

 private:
  const Ports& ports_;
  const ArtifactServiceOptions options_;
  TransferSlots slots_;
};

}  // namespace trainyard::rpc
