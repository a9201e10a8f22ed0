// Files by descriptor, errors as absl::Status that name the path.
//
//   ASSIGN_OR_RETURN(File file, File::Open(path, O_RDONLY));
//   ASSIGN_OR_RETURN(std::string bytes, file.ReadAt(0, 4096));
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::adapters {

class File {
 public:
  // O_CLOEXEC is added; new files are for their owner alone. NOT_FOUND.
  static absl::StatusOr<File> Open(const std::string& path, int flags);
  File() = default;
  File(File&& other) noexcept
      : path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~File();

  absl::StatusOr<uint64_t> Size() const;
  // Fewer bytes than `limit` only at the end of the file.
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t limit) const;
  // All of them. RESOURCE_EXHAUSTED: disk full.
  absl::Status WriteAt(uint64_t offset, absl::string_view bytes);
  absl::Status Truncate(uint64_t size);
  absl::Status Sync();

 private:
  File(std::string path, int descriptor)
      : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_ = -1;
};

// Makes a folder and its parents, for their owner alone; there already: OK.
absl::Status MakeFolder(const std::string& path);
// Makes what was renamed into or out of a folder survive a power cut.
absl::Status SyncFolder(const std::string& path);

}  // namespace trainyard::adapters
