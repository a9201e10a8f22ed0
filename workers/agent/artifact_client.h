// Moves blobs between files here and the server's artifact store, in chunks,
// going on where a broken transfer ended. While the server cannot be reached it
// tries for as long as it is let; other faults end it after a few tries.
//
//   ArtifactClient client(channel, {}, seed);
//   ASSIGN_OR_RETURN(StoredBlob blob,
//                    client.UploadFile(path, "model.safetensors", &cancel));
//
// Thread-safe; calls block.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "trainyard/v1/artifact_service.grpc.pb.h"
#include "workers/agent/backoff.h"
#include "workers/agent/blob_source.h"
#include "workers/agent/cancellation.h"

namespace trainyard::agent {

struct StoredBlob {
  std::string artifact;  // "sha256:…"
  uint64_t size_bytes = 0;
};

struct ArtifactClientOptions {
  BackoffOptions backoff;
  // Tries in a row without progress that end in a fault other than "cannot be
  // reached".
  int max_faults = 5;
};

class ArtifactClient : public BlobSource {
 public:
  ArtifactClient(std::shared_ptr<grpc::Channel> channel,
                 ArtifactClientOptions options, uint32_t seed);

  // A regular file, which must not change meanwhile. Symbolic links are
  // refused.
  absl::StatusOr<StoredBlob> UploadFile(const std::string& path,
                                        const std::string& display_name,
                                        Cancellation* cancellation);
  absl::StatusOr<StoredBlob> UploadBytes(const std::string& bytes,
                                         const std::string& display_name,
                                         Cancellation* cancellation);
  // All regular files below the folder, then their manifest. size_bytes is
  // that of all files.
  absl::StatusOr<StoredBlob> UploadFolder(const std::string& path,
                                          const std::string& display_name,
                                          Cancellation* cancellation);

  absl::Status Fetch(const std::string& artifact, uint64_t offset,
                     const Sink& sink, Cancellation* cancellation) override;

 private:
  // What is uploaded: its name, its size, and how to read it.
  struct Content {
    std::string artifact;
    uint64_t size_bytes = 0;
    std::string display_name;
    // Up to `count` bytes from `offset`.
    std::function<absl::StatusOr<std::string>(uint64_t offset, size_t count)>
        read;
  };

  absl::StatusOr<StoredBlob> Upload(const Content& content,
                                    Cancellation* cancellation);
  // One try each. `received`: bytes the server already had. `progress` is set
  // where bytes came through.
  absl::Status UploadOnce(const Content& content, Cancellation* cancellation,
                          uint64_t& received);
  absl::Status FetchOnce(const std::string& artifact, uint64_t& offset,
                         const Sink& sink, Cancellation* cancellation,
                         bool& progress);
  // Until it succeeds, is cancelled or fails for good.
  absl::Status Persist(
      const std::function<absl::Status(bool& progress)>& try_once,
      Cancellation* cancellation);

  const std::unique_ptr<v1::ArtifactService::Stub> stub_;
  const ArtifactClientOptions options_;
  const uint32_t seed_;
};

}  // namespace trainyard::agent
