// The port to the artifact store: blobs named by the SHA-256 of their bytes.
// server/adapters/file_blobs implements it.
//
//   ASSIGN_OR_RETURN(auto writer, blobs->Resume(name, size,
//   "model.safetensors")); RETURN_IF_ERROR(writer->Append(writer->offset(),
//   bytes)); ASSIGN_OR_RETURN(BlobInfo info, writer->Finish());
//
// Names are "sha256:" and 64 lower-case hex digits; any other is refused with
// INVALID_ARGUMENT. Calls block on the disk. Implementations are thread-safe;
// one reader or writer belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::engine {

// A complete blob.
struct BlobInfo {
  std::string name;
  uint64_t size_bytes = 0;
  absl::Time create_time;
  std::string display_name;
};

struct BlobStat {
  std::optional<BlobInfo> blob;  // once complete
  uint64_t received_bytes = 0;
};

// One upload. What was appended outlives the writer: the next one goes on
// there.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  // The blob was here already: go straight to Finish.
  virtual bool complete() const = 0;
  // Where the next bytes go.
  virtual uint64_t offset() const = 0;
  // OUT_OF_RANGE: another offset is expected, or the bytes go beyond the size.
  // ABORTED: a newer writer took over. RESOURCE_EXHAUSTED: disk full.
  virtual absl::Status Append(uint64_t offset, absl::string_view bytes) = 0;
  // When it returns OK the blob is on disk. OUT_OF_RANGE: bytes are missing.
  // DATA_LOSS: the bytes have another hash; they are dropped.
  virtual absl::StatusOr<BlobInfo> Finish() = 0;
};

class BlobReader {
 public:
  virtual ~BlobReader() = default;
  virtual uint64_t size_bytes() const = 0;
  virtual uint64_t offset() const = 0;
  // The next bytes, at most `limit`; empty at the end. DATA_LOSS: read from
  // start to end, the bytes do not have the hash that names them.
  virtual absl::StatusOr<std::string> Read(size_t limit) = 0;
};

class BlobStore {
 public:
  struct Page {
    std::vector<BlobInfo> blobs;
    std::string next_page_token;  // empty: last page
  };

  virtual ~BlobStore() = default;
  virtual absl::StatusOr<BlobStat> Stat(const std::string& name) = 0;
  // RESOURCE_EXHAUSTED: the store is full. A newer writer of the same blob
  // takes over from an older one.
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> Resume(
      const std::string& name, uint64_t size_bytes,
      const std::string& display_name) = 0;
  // NOT_FOUND; OUT_OF_RANGE: `offset` is beyond the end.
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> Open(
      const std::string& name, uint64_t offset) = 0;
  // Newest first. INVALID_ARGUMENT: no token of this store.
  virtual absl::StatusOr<Page> List(size_t page_size,
                                    const std::string& page_token) = 0;
};

}  // namespace trainyard::engine
