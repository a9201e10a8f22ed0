// Blobs as files named by their SHA-256, with an SQLite file as the list of
// them. A blob is written to partial/, checked, synced and only then moved to
// its place, so what is in its place is whole.
//
//   FOLDER/ab/ab12…     blobs, by the first two digits
//   FOLDER/partial/…    uploads that are not complete; dropped after a week
//   FOLDER/index.db     size, time and display name of each blob
//
//   ASSIGN_OR_RETURN(auto blobs, FileBlobs::Open(folder, {}, RealClock()));
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "server/adapters/sqlite.h"
#include "server/engine/blobs.h"

namespace trainyard::adapters {

struct FileBlobsOptions {
  uint64_t limit_bytes =
      0;  // of all blobs and running uploads; 0: as the disk allows
  absl::Duration keep_partial = absl::Hours(24 * 7);
};

class FileBlobs : public engine::BlobStore {
 public:
  static absl::StatusOr<std::unique_ptr<FileBlobs>> Open(
      const std::string& folder, FileBlobsOptions options, const Clock* clock);

  absl::StatusOr<engine::BlobStat> Stat(const std::string& name) override;
  absl::StatusOr<std::unique_ptr<engine::BlobWriter>> Resume(
      const std::string& name, uint64_t size_bytes,
      const std::string& display_name) override;
  absl::StatusOr<std::unique_ptr<engine::BlobReader>> Open(
      const std::string& name, uint64_t offset) override;
  absl::StatusOr<Page> List(size_t page_size,
                            const std::string& page_token) override;

 private:
  class Writer;
  // A blob that is being uploaded. Its mutex is held while bytes are written.
  struct Upload {
    absl::Mutex mutex;
    uint64_t writer ABSL_GUARDED_BY(mutex) = 0;  // the newest one's number
  };
  struct Reserved {
    std::shared_ptr<Upload> upload;
    uint64_t size_bytes = 0;
    int writers = 0;
  };

  FileBlobs(std::string folder, FileBlobsOptions options, const Clock* clock,
            std::unique_ptr<Database> index)
      : folder_(std::move(folder)),
        options_(options),
        clock_(clock),
        index_(std::move(index)) {}

  std::string BlobPath(const std::string& hex) const;
  std::string PartialPath(const std::string& hex) const;
  void DropOldPartials() const;
  // The listed blob; a blob in its place that is not listed is listed first.
  absl::StatusOr<std::optional<engine::BlobInfo>> Find(const std::string& hex)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Insert(const std::string& hex, const engine::BlobInfo& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(const std::string& hex);
  void ReleaseLocked(const std::string& hex)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Puts a damaged blob aside, so that it can be uploaded again.
  void Discard(const std::string& hex);

  const std::string folder_;
  const FileBlobsOptions options_;
  const Clock* const clock_;

  absl::Mutex mutex_;
  const std::unique_ptr<Database> index_ ABSL_PT_GUARDED_BY(mutex_);
  uint64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // complete blobs
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) =
      0;  // running uploads, whole
  uint64_t last_writer_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, Reserved> uploads_
      ABSL_GUARDED_BY(mutex_);  // by hex
};

}  // namespace trainyard::adapters
