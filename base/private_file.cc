#include "base/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace trainyard {
namespace {

absl::Status Failed(const std::string& path, int error) {
  return absl::ErrnoToStatus(error, path);
}

absl::Status WriteAll(int descriptor, absl::string_view text,
                      const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Failed(path, errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(descriptor) == 0 ? absl::OkStatus() : Failed(path, errno);
}

void SyncParent(const std::string& path) {
  std::string parent = std::filesystem::path(path).parent_path().string();
  if (parent.empty()) parent = ".";
  const int folder = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);
  close(folder);
}

}  // namespace

absl::Status WritePrivateFile(const std::string& path, absl::string_view text,
                              bool replace) {
  // Made anew under a name of its own: nobody else can have it open, and its
  // mode is ours from the first byte on.
  std::string part = path + ".XXXXXX";
  const int descriptor = mkstemp(part.data());
  if (descriptor < 0) return Failed(path, errno);
  absl::Status status = WriteAll(descriptor, text, path);
  if (fchmod(descriptor, 0600) != 0 && status.ok()) {
    status = Failed(path, errno);
  }
  close(descriptor);
  if (status.ok() && replace && rename(part.c_str(), path.c_str()) != 0) {
    status = Failed(path, errno);
  }
  // A link fails where the name is taken, a rename would not.
  if (status.ok() && !replace && link(part.c_str(), path.c_str()) != 0) {
    status =
        errno == EEXIST
            ? absl::AlreadyExistsError(absl::StrCat(path, ": is there already"))
            : Failed(path, errno);
  }
  if (!status.ok() || !replace) unlink(part.c_str());
  if (status.ok()) SyncParent(path);
  return status;
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path,
                                          size_t limit) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  }
  std::string text(limit + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() <= limit) return text;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": must be at most ", limit, " bytes"));
}

absl::Status MakePrivateFolder(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return absl::OkStatus();
  const std::string parent =
      std::filesystem::path(path).lexically_normal().parent_path().string();
  if (!parent.empty() && parent != path) {
    if (absl::Status made = MakePrivateFolder(parent); !made.ok()) return made;
  }
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return Failed(path, errno);
}

}  // namespace trainyard
