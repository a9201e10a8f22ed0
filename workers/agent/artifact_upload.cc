// What ArtifactClient uploads: files, bytes, folders. The transfer itself is in
// artifact_client.cc.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/agent/artifact_client.h"
#include "workers/agent/fd.h"
#include "workers/agent/manifest.h"
#include "workers/agent/sha256.h"

namespace trainyard::agent {
namespace {

absl::StatusOr<std::string> ReadAt(int fd, uint64_t offset, size_t count) {
  std::string bytes(count, '\0');
  const ssize_t got =
      pread(fd, bytes.data(), count, static_cast<off_t>(offset));
  if (got <= 0) {
    return absl::DataLossError(
        got == 0 ? "the file became shorter while it was uploaded"
                 : absl::StrCat("cannot read: ", strerror(errno)));
  }
  bytes.resize(static_cast<size_t>(got));
  return bytes;
}

}  // namespace

absl::StatusOr<StoredBlob> ArtifactClient::UploadFile(
    const std::string& path, const std::string& display_name,
    Cancellation* cancellation) {
  const Fd file(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info;
  if (!file.valid() || fstat(file.get(), &info) != 0) {
    const std::string message =
        absl::StrCat("cannot open ", path, ": ", strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(message)
                           : absl::FailedPreconditionError(message);
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": must be a regular file"));
  }
  ASSIGN_OR_RETURN(const std::string digits, Sha256OfFile(file.get()));
  return Upload({.artifact = "sha256:" + digits,
                 .size_bytes = static_cast<uint64_t>(info.st_size),
                 .display_name = display_name,
                 .read =
                     [&file](uint64_t offset, size_t count) {
                       return ReadAt(file.get(), offset, count);
                     }},
                cancellation);
}

absl::StatusOr<StoredBlob> ArtifactClient::UploadBytes(
    const std::string& bytes, const std::string& display_name,
    Cancellation* cancellation) {
  Sha256 hash;
  hash.Update(bytes);
  return Upload({.artifact = "sha256:" + hash.Finish(),
                 .size_bytes = bytes.size(),
                 .display_name = display_name,
                 .read = [&bytes](uint64_t offset,
                                  size_t count) -> absl::StatusOr<std::string> {
                   return bytes.substr(offset, count);
                 }},
                cancellation);
}

absl::StatusOr<StoredBlob> ArtifactClient::UploadFolder(
    const std::string& path, const std::string& display_name,
    Cancellation* cancellation) {
  namespace fs = std::filesystem;
  std::vector<ManifestFile> files;
  std::error_code error;
  uint64_t total = 0;
  for (fs::recursive_directory_iterator it(path, error), end;
       !error && it != end; it.increment(error)) {
    const fs::file_status type = it->symlink_status(error);
    if (error || fs::is_directory(type)) continue;
    const std::string relative =
        it->path().lexically_relative(path).generic_string();
    ASSIGN_OR_RETURN(const StoredBlob blob,
                     UploadFile(it->path().string(),
                                display_name + "/" + relative, cancellation));
    files.push_back({relative, blob.artifact, blob.size_bytes});
    total += blob.size_bytes;
  }
  if (error) {
    return absl::InternalError(
        absl::StrCat("cannot read ", path, ": ", error.message()));
  }
  ASSIGN_OR_RETURN(StoredBlob blob,
                   UploadBytes(FormatManifest(std::move(files)), display_name,
                               cancellation));
  blob.size_bytes = total;
  return blob;
}

}  // namespace trainyard::agent
