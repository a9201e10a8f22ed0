#include "workers/agent/input_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "workers/agent/fd.h"
#include "workers/agent/sha256.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kWaitSlice = absl::Milliseconds(100);
// What a file costs beside its bytes; keeps a million empty files bounded.
constexpr uint64_t kEntryBytes = 512;
constexpr char kTreeSuffix[] = ".tree";
constexpr char kDoomedSuffix[] = ".old";
// How long a broken transfer may wait to be gone on with.
constexpr absl::Duration kPartialLife = absl::Hours(24);

absl::Status OsError(absl::string_view what, const std::string& path,
                     int error) {
  const std::string message =
      absl::StrCat("cannot ", what, " ", path, ": ", strerror(error));
  return error == ENOSPC ? absl::ResourceExhaustedError(message)
                         : absl::InternalError(message);
}

absl::Status WriteAll(int fd, absl::string_view bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return OsError("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)),
                   std::istreambuf_iterator<char>());
  if (!file.good()) return OsError("read", path, errno);
  return text;
}

uint64_t SizeOf(const std::string& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

}  // namespace

InputCache::Pin& InputCache::Pin::operator=(Pin&& other) noexcept {
  Reset();
  cache_ = std::exchange(other.cache_, nullptr);
  entry_ = std::move(other.entry_);
  path_ = std::move(other.path_);
  return *this;
}

void InputCache::Pin::Reset() {
  if (cache_ != nullptr) std::exchange(cache_, nullptr)->Unpin(entry_);
}

InputCache::InputCache(InputCacheOptions options, BlobSource* source,
                       Clock* clock)
    : options_(std::move(options)), source_(source), clock_(clock) {}

std::string InputCache::PathOf(const EntryName& name) const {
  return absl::StrCat(options_.folder, "/", name);
}

absl::Status InputCache::Open() {
  std::error_code error;
  fs::remove_all(PathOf("folders"), error);  // cheap to make again
  for (const char* folder : {"blobs", "folders", "partial"}) {
    fs::create_directories(PathOf(folder), error);
    if (error) return OsError("create", PathOf(folder), error.value());
  }
  for (const auto& file : fs::directory_iterator(PathOf("partial"), error)) {
    struct stat info;
    const bool is_blob =
        ArtifactDigits("sha256:" + file.path().filename().string()).ok();
    if (!is_blob || stat(file.path().c_str(), &info) != 0 ||
        absl::FromTimeT(info.st_mtime) + kPartialLife < clock_->Now()) {
      fs::remove_all(file.path(), error);
    }
  }
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& file : fs::directory_iterator(PathOf("blobs"), error)) {
      struct stat info;
      const std::string name = file.path().filename().string();
      if (!ArtifactDigits("sha256:" + name).ok() ||
          stat(file.path().c_str(), &info) != 0) {
        continue;
      }
      Entry& entry = entries_["blobs/" + name];
      entry.bytes = static_cast<uint64_t>(info.st_size) + kEntryBytes;
      entry.last_used = absl::FromTimeT(info.st_mtime);
      used_bytes_ += entry.bytes;
    }
  }
  return Reserve(0);
}

absl::StatusOr<InputCache::Pin> InputCache::Get(
    const EntryName& name, Cancellation* cancellation,
    const std::function<absl::Status()>& make) {
  for (;;) {
    {
      absl::MutexLock lock(&mutex_);
      const auto found = entries_.find(name);
      if (found != entries_.end()) {
        ++found->second.pins;
        found->second.last_used = clock_->Now();
        Pin pin;
        pin.cache_ = this;
        pin.entry_ = name;
        pin.path_ = PathOf(name);
        return pin;
      }
      if (making_.contains(name)) {  // by another caller
        const auto made = [this, &name]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
          return !making_.contains(name);
        };
        mutex_.AwaitWithTimeout(absl::Condition(&made), kWaitSlice);
        if (cancellation->cancelled()) return absl::CancelledError("given up");
        continue;
      }
      making_.insert(name);
    }
    const absl::Status status = make();
    absl::MutexLock lock(&mutex_);
    making_.erase(name);
    if (!status.ok()) return status;
  }
}

absl::StatusOr<InputCache::Pin> InputCache::GetFile(
    const std::string& artifact, Cancellation* cancellation) {
  ASSIGN_OR_RETURN(const std::string digits, ArtifactDigits(artifact));
  absl::StatusOr<Pin> pin = Get("blobs/" + digits, cancellation,
                                [&] { return Download(digits, cancellation); });
  // The order of use survives a restart as the files' times.
  if (pin.ok()) utimensat(AT_FDCWD, pin->path().c_str(), nullptr, 0);
  return pin;
}

absl::StatusOr<InputCache::Pin> InputCache::GetFolder(
    const std::string& artifact, Cancellation* cancellation) {
  ASSIGN_OR_RETURN(const std::string digits, ArtifactDigits(artifact));
  return Get("folders/" + digits, cancellation,
             [&] { return BuildFolder(digits, cancellation); });
}

absl::StatusOr<InputCache::Pin> InputCache::GetAny(const std::string& artifact,
                                                   Cancellation* cancellation) {
  ASSIGN_OR_RETURN(Pin blob, GetFile(artifact, cancellation));
  char head[256];
  std::ifstream file(blob.path(), std::ios::binary);
  file.read(head, sizeof(head));
  const absl::string_view begin(head, static_cast<size_t>(file.gcount()));
  if (LooksLikeManifest(begin) && SizeOf(blob.path()) <= kMaxManifestBytes) {
    return GetFolder(artifact, cancellation);
  }
  return blob;
}

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
  if (!file.valid()) return OsError("open", path, errno);
  uint64_t reserved = 0;
  const auto fail = [&](absl::Status status) {
    Unreserve(reserved);
    return status;
  };
  const absl::Status fetched = source_->Fetch(
      "sha256:" + digits, SizeOf(path),
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
    return fail(OsError("store", PathOf(name), errno));
  }
  const uint64_t bytes = SizeOf(PathOf(name)) + kEntryBytes;
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
  if (SizeOf(manifest.path()) > kMaxManifestBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("sha256:", digits, ": must be a folder, but is a blob of ",
                     FormatBytes(SizeOf(manifest.path()))));
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
                   : OsError("link", path.string(), errno);
      break;
    }
    entry.linked_to.push_back(pin->entry_);
    pins.push_back(*std::move(pin));
  }
  const EntryName name = "folders/" + digits;
  if (status.ok() && rename(building.c_str(), PathOf(name).c_str()) != 0) {
    status = OsError("store", PathOf(name), errno);
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

absl::Status InputCache::Reserve(uint64_t bytes) {
  if (bytes > options_.limit_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("an input of ", FormatBytes(bytes),
                     " is over this worker's --cache-limit of ",
                     FormatBytes(options_.limit_bytes)));
  }
  std::vector<std::string> doomed;
  bool room;
  {
    absl::MutexLock lock(&mutex_);
    room = used_bytes_ + bytes <= options_.limit_bytes ||
           Evict(options_.limit_bytes - bytes, doomed);
    if (room) used_bytes_ += bytes;
  }
  for (const std::string& path : doomed) {
    std::error_code error;
    fs::remove_all(path, error);
  }
  if (!doomed.empty())
    spdlog::info("cache: {} entries made room", doomed.size());
  if (room || bytes == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "no room for an input of ", FormatBytes(bytes), ": ",
      FormatBytes(used_bytes()), " of the cache are in use, --cache-limit is ",
      FormatBytes(options_.limit_bytes)));
}

void InputCache::Unreserve(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  used_bytes_ -= bytes;
}

bool InputCache::Evict(uint64_t target, std::vector<std::string>& doomed) {
  // A little more than needed, so that not each new file looks through all.
  const uint64_t slack = std::min(target, options_.limit_bytes / 32);
  bool progress = true;
  while (used_bytes_ > target - slack && progress) {
    progress = false;
    std::vector<std::pair<absl::Time, EntryName>> unused;
    for (const auto& [name, entry] : entries_) {
      if (entry.pins == 0 && entry.links == 0) {
        unused.emplace_back(entry.last_used, name);
      }
    }
    std::sort(unused.begin(), unused.end());
    for (const auto& [time, name] : unused) {
      if (used_bytes_ <= target - slack) break;
      doomed.push_back(Forget(name));
      progress = true;  // a folder's blobs may be unused now
    }
  }
  return used_bytes_ <= target;
}

std::string InputCache::Forget(const EntryName& name) {
  const Entry entry = std::move(entries_.extract(name).mapped());
  used_bytes_ -= entry.bytes;
  for (const EntryName& blob : entry.linked_to) --entries_[blob].links;
  // Out of sight first: what is asked for meanwhile is made anew.
  const std::string path = PathOf(name);
  const std::string doomed =
      PathOf(absl::StrCat("partial/", path.substr(path.rfind('/') + 1), "-",
                          next_doomed_++, kDoomedSuffix));
  return rename(path.c_str(), doomed.c_str()) == 0 ? doomed : path;
}

void InputCache::Unpin(const EntryName& name) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(name);
  if (found != entries_.end()) --found->second.pins;
}

uint64_t InputCache::used_bytes() const {
  absl::MutexLock lock(&mutex_);
  return used_bytes_;
}

}  // namespace trainyard::agent
