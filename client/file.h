// An open file; errors carry the path and the system's reason.
//
//   ASSIGN_OR_RETURN(File file, File::OpenToRead(path));
//   ASSIGN_OR_RETURN(std::string bytes, file.ReadAt(0, 4096));
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::client {

// Not thread-safe.
class File {
 public:
  // Regular files only.
  static absl::StatusOr<File> OpenToRead(const std::string& path);
  // Made where it is missing; what is in it stays.
  static absl::StatusOr<File> OpenToAppend(const std::string& path);

  File(File&& other) noexcept;
  File& operator=(File&&) = delete;
  ~File();

  // Fewer bytes only at the end of the file.
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const;
  absl::StatusOr<uint64_t> Size() const;
  absl::Status Append(absl::string_view bytes);
  // On disk when it returns OK.
  absl::Status Sync();

 private:
  File(int descriptor, std::string path);

  int descriptor_;
  std::string path_;
};

}  // namespace trainyard::client
