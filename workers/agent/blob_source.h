// The port through which the input cache gets blobs. ArtifactClient implements
// it; tests use their own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "workers/agent/cancellation.h"

namespace trainyard::agent {

// Thread-safe.
class BlobSource {
 public:
  // Takes bytes in order; an error ends the transfer with it. Told the size of
  // the whole blob each time.
  using Sink =
      std::function<absl::Status(absl::string_view bytes, uint64_t size)>;

  virtual ~BlobSource() = default;
  // Passes on the blob's bytes from `offset` to the end; tries again by itself
  // while the server is away. The bytes are not verified. CANCELLED; NOT_FOUND.
  virtual absl::Status Fetch(const std::string& artifact, uint64_t offset,
                             const Sink& sink, Cancellation* cancellation) = 0;
};

}  // namespace trainyard::agent
