// How InputCache gets what it does not have.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "workers/agent/fd.h"
#include "workers/agent/file_error.h"
#include "workers/agent/input_cache.h"
#include "workers/agent/sha256.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr char kTreeSuffix[] = ".tree";

absl::Status WriteAll(int fd, absl::string_view bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)),
                   std::istreambuf_iterator<char>());
  if (!file.good()) return FileError("read", path, errno);
  return text;
}

}  // namespace

absl::Status InputCache::Download(const std::string& digits,
                                  Cancellation* cancellation) {
  const std::string partial = PathOf("partial/" + digits);
  absl::Status status = DownloadTo(partial, digits, cancellation);
  if (absl::IsDataLoss(status)) {  // maybe the earlier part was at fault
    unlink(partial.c_str());
    status = DownloadTo(partial, digits, cancellation);
  }
  // Only what was interrupted is worth going on with.
  if (!status.ok() && !absl::IsCancelled(status)) unlink(partial.c_str());
  return status;
}

absl::Status InputCache::DownloadTo(const std::string& path,
                                    const std::string& digits,
                                    Cancellation* cancellation) {
  const Fd file(
      open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid()) return FileError("open", path, errno);
  uint64_t reserved = 0;
  const auto fail = [&](absl::Status status) {
    Unreserve(reserved);
    return status;
  };
  const absl::Status fetched = source_->Fetch(
      "sha256:" + digits, FileSize(path),
      [&](absl::string_view bytes, uint64_t size) -> absl::Status {
        if (reserved == 0) {
          RETURN_IF_ERROR(Reserve(size + kEntryBytes));
          reserved = size + kEntryBytes;
        }
        return WriteAll(file.get(), bytes, path);
      },
      cancellation);
  if (!fetched.ok()) return fail(fetched);
  absl::StatusOr<std::string> hash = Sha256OfFile(file.get());
  if (!hash.ok()) return fail(hash.status());
  if (*hash != digits) {
    return fail(absl::DataLossError(absl::StrCat(
        "sha256:", digits, ": the bytes that came have the hash ", *hash)));
  }
  const EntryName name = "blobs/" + digits;
  if (fchmod(file.get(), 0444) != 0 || fsync(file.get()) != 0 ||
      rename(path.c_str(), PathOf(name).c_str()) != 0) {
    return fail(FileError("store", PathOf(name), errno));
  }
  const uint64_t bytes = FileSize(PathOf(name)) + kEntryBytes;
  absl::MutexLock lock(&mutex_);
  used_bytes_ += bytes;
  used_bytes_ -= reserved;
  entries_[name] = {.bytes = bytes, .last_used = clock_->Now()};
  return absl::OkStatus();
}

absl::Status InputCache::BuildFolder(const std::string& digits,
                                     Cancellation* cancellation) {
  ASSIGN_OR_RETURN(const Pin manifest,
                   GetFile("sha256:" + digits, cancellation));
  if (FileSize(manifest.path()) > kMaxManifestBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("sha256:", digits, ": must be a folder, but is a blob of ",
                     FormatBytes(FileSize(manifest.path()))));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(manifest.path()));
  absl::StatusOr<std::vector<ManifestFile>> files = ParseManifest(text);
  if (!files.ok()) {
    return WithContext(files.status(),
                       absl::StrCat("sha256:", digits, " is no folder"));
  }
  const std::string building =
      PathOf(absl::StrCat("partial/", digits, kTreeSuffix));
  std::error_code error;
  fs::remove_all(building, error);
  fs::create_directories(building, error);
  Entry entry{.bytes = kEntryBytes * (files->size() + 1)};
  RETURN_IF_ERROR(Reserve(entry.bytes));
  std::vector<Pin> pins;
  absl::Status status;
  for (const ManifestFile& file : *files) {
    absl::StatusOr<Pin> pin = GetFile(file.artifact, cancellation);
    if (!pin.ok()) {
      status = WithContext(pin.status(), file.path);
      break;
    }
    const fs::path path = fs::path(building) / file.path;
    fs::create_directories(path.parent_path(), error);
    if (link(pin->path().c_str(), path.c_str()) != 0) {
      status = errno == EEXIST || errno == ENOTDIR
                   ? absl::InvalidArgumentError(absl::StrCat(
                         "folder manifest: \"", file.path, "\" is there twice"))
                   : FileError("link", path.string(), errno);
      break;
    }
    entry.linked_to.push_back(pin->entry_);
    pins.push_back(*std::move(pin));
  }
  const EntryName name = "folders/" + digits;
  if (status.ok() && rename(building.c_str(), PathOf(name).c_str()) != 0) {
    status = FileError("store", PathOf(name), errno);
  }
  if (!status.ok()) {
    fs::remove_all(building, error);
    Unreserve(entry.bytes);
    return status;
  }
  absl::MutexLock lock(&mutex_);
  for (const EntryName& blob : entry.linked_to) ++entries_[blob].links;
  entry.last_used = clock_->Now();
  entries_[name] = std::move(entry);
  return absl::OkStatus();
}

}  // namespace trainyard::agent
