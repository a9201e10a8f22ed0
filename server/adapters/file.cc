#include "server/adapters/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace trainyard::adapters {
namespace {

absl::Status Error(int error, absl::string_view doing,
                   const std::string& path) {
  const std::string context = absl::StrCat(doing, " ", path);
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(
        absl::StrCat(context, ": the disk is full"));
  }
  return absl::ErrnoToStatus(error, context);
}

}  // namespace

absl::StatusOr<File> File::Open(const std::string& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (descriptor < 0) return Error(errno, "opening", path);
  return File(path, descriptor);
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<uint64_t> File::Size() const {
  struct stat info = {};
  if (fstat(descriptor_, &info) != 0) return Error(errno, "looking at", path_);
  return static_cast<uint64_t>(info.st_size);
}

absl::StatusOr<std::string> File::ReadAt(uint64_t offset, size_t limit) const {
  std::string bytes(limit, '\0');
  size_t done = 0;
  while (done < limit) {
    const ssize_t got = pread(descriptor_, bytes.data() + done, limit - done,
                              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error(errno, "reading", path_);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

absl::Status File::WriteAt(uint64_t offset, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(descriptor_, bytes.data(), bytes.size(),
                               static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Error(errno, "writing", path_);
    bytes.remove_prefix(static_cast<size_t>(put));
    offset += static_cast<uint64_t>(put);
  }
  return absl::OkStatus();
}

absl::Status File::Truncate(uint64_t size) {
  if (ftruncate(descriptor_, static_cast<off_t>(size)) != 0) {
    return Error(errno, "truncating", path_);
  }
  return absl::OkStatus();
}

absl::Status File::Sync() {
  if (fsync(descriptor_) != 0) return Error(errno, "syncing", path_);
  return absl::OkStatus();
}

absl::Status MakeFolder(const std::string& path) {
  const std::filesystem::path folder(path);
  std::error_code error;
  if (folder.has_parent_path() &&
      !std::filesystem::exists(folder.parent_path(), error) &&
      folder.parent_path() != folder) {
    RETURN_IF_ERROR(MakeFolder(folder.parent_path().string()));
  }
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return Error(errno, "making", path);
  if (!std::filesystem::is_directory(folder, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there and is no folder"));
  }
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  ASSIGN_OR_RETURN(File folder, File::Open(path, O_RDONLY | O_DIRECTORY));
  return folder.Sync();
}

}  // namespace trainyard::adapters
