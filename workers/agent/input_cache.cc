#include "workers/agent/input_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/units.h"
#include "workers/agent/file_error.h"
#include "workers/agent/sha256.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kWaitSlice = absl::Milliseconds(100);
constexpr char kDoomedSuffix[] = ".old";
// How long a broken transfer may wait to be gone on with.
constexpr absl::Duration kPartialLife = absl::Hours(24);

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
    if (error) return FileError("create", PathOf(folder), error.value());
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
  if (LooksLikeManifest(begin) && FileSize(blob.path()) <= kMaxManifestBytes) {
    return GetFolder(artifact, cancellation);
  }
  return blob;
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
