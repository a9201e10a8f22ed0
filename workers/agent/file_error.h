// The status for a file operation that failed.
//
//   if (write(fd, …) < 0) return FileError("write", path, errno);
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace trainyard::agent {

// RESOURCE_EXHAUSTED where the disk is full, else INTERNAL.
inline absl::Status FileError(absl::string_view what, const std::string& path,
                              int error) {
  const std::string message =
      absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(message)
                         : absl::InternalError(message);
}

// 0 where there is no such file.
inline uint64_t FileSize(const std::string& path) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace trainyard::agent
