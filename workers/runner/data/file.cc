#include "workers/runner/data/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace trainyard::data {
namespace {

// One call of read or write moves at most this much (macOS refuses 2 GiB).
constexpr uint64_t kMaxTransfer = uint64_t{1} << 30;

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case ELOOP:
      return absl::StatusCode::kPermissionDenied;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    case ENAMETOOLONG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::Status WriteAll(int descriptor, absl::string_view bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const size_t part = std::min<uint64_t>(bytes.size(), kMaxTransfer);
    const ssize_t written = ::write(descriptor, bytes.data(), part);
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("cannot write ", path));
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// 0 once the content is on the disk itself.
int SyncToDisk(int descriptor) {
#ifdef F_FULLFSYNC  // macOS: fsync stops at the disk's cache
  if (::fcntl(descriptor, F_FULLFSYNC) == 0) return 0;
#endif
  return ::fsync(descriptor);
}

// After this a renamed file is found under its new name also after a power cut.
absl::Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  std::string folder = ".";
  if (slash != std::string::npos)
    folder = slash == 0 ? "/" : path.substr(0, slash);
  const int descriptor =
      ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    return ErrnoStatus(errno, absl::StrCat("cannot open ", folder));
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some file systems cannot sync folders and say EINVAL.
  if (result != 0 && error != EINVAL) {
    return ErrnoStatus(error, absl::StrCat("cannot sync ", folder));
  }
  return absl::OkStatus();
}

EntryKind KindOf(const std::string& folder, const dirent& entry) {
  switch (entry.d_type) {
    case DT_REG:
      return EntryKind::kFile;
    case DT_DIR:
      return EntryKind::kFolder;
    case DT_LNK:
      return EntryKind::kLink;
    case DT_UNKNOWN:
      break;
    default:
      return EntryKind::kOther;
  }
  // The file system does not say: ask.
  struct stat info = {};
  if (::lstat(absl::StrCat(folder, "/", entry.d_name).c_str(), &info) != 0) {
    return EntryKind::kOther;
  }
  if (S_ISREG(info.st_mode)) return EntryKind::kFile;
  if (S_ISDIR(info.st_mode)) return EntryKind::kFolder;
  return S_ISLNK(info.st_mode) ? EntryKind::kLink : EntryKind::kOther;
}

// Length of the well-formed UTF-8 sequence at the start of `text`, 0 when there
// is none (Unicode 15, table 3-7).
size_t Utf8Length(absl::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

absl::Status ErrnoStatus(int error, absl::string_view what) {
  return absl::Status(CodeOf(error),
                      absl::StrCat(what, ": ", std::strerror(error)));
}

std::string CleanUtf8(absl::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const unsigned char first = static_cast<unsigned char>(text[0]);
    if (length == 0 || first < 0x20 || first == 0x7F) {
      clean += '?';
      text.remove_prefix(1);
      continue;
    }
    clean.append(text.data(), length);
    text.remove_prefix(length);
  }
  return clean;
}

absl::StatusOr<InputFile> InputFile::Open(const std::string& path,
                                          bool follow_links) {
  // O_NONBLOCK: opening a pipe nobody writes to would wait for ever.
  const int flags =
      O_RDONLY | O_CLOEXEC | O_NONBLOCK | (follow_links ? 0 : O_NOFOLLOW);
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0)
    return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  InputFile file(path, descriptor, 0);
  struct stat info = {};
  if (::fstat(descriptor, &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot stat ", path));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a regular file"));
  }
  file.size_ = static_cast<uint64_t>(info.st_size);
  return file;
}

InputFile::InputFile(std::string path, int descriptor, uint64_t size)
    : path_(std::move(path)), descriptor_(descriptor), size_(size) {}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int InputFile::Release() { return std::exchange(descriptor_, -1); }

absl::Status InputFile::ReadAt(uint64_t offset, void* to, uint64_t size) const {
  char* next = static_cast<char*>(to);
  uint64_t left = size;
  while (left > 0) {
    const ssize_t count =
        ::pread(descriptor_, next, std::min(left, kMaxTransfer),
                static_cast<off_t>(offset + (size - left)));
    if (count < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus(errno, absl::StrCat("cannot read ", path_));
    }
    if (count == 0) {
      return absl::DataLossError(absl::StrCat(path_, " is truncated: expected ",
                                              offset + size, " bytes, found ",
                                              offset + (size - left)));
    }
    next += count;
    left -= static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          uint64_t max_bytes) {
  ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  if (file.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, " has ", file.size(),
                                                   " bytes; at most ",
                                                   max_bytes, " are allowed"));
  }
  std::string content(file.size(), '\0');
  RETURN_IF_ERROR(file.ReadAt(0, content.data(), content.size()));
  return content;
}

absl::StatusOr<std::vector<FolderEntry>> ListFolder(const std::string& path) {
  DIR* listing = ::opendir(path.c_str());
  if (listing == nullptr)
    return ErrnoStatus(errno, absl::StrCat("cannot list ", path));
  std::vector<FolderEntry> entries;
  errno = 0;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..")
      entries.push_back({name, KindOf(path, *entry)});
    errno = 0;
  }
  const int error = errno;
  ::closedir(listing);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("cannot list ", path));
  std::sort(entries.begin(), entries.end(),
            [](const FolderEntry& a, const FolderEntry& b) {
              return a.name < b.name;
            });
  return entries;
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content) {
  return WriteFileAtomically(path, absl::MakeConstSpan(&content, 1));
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> pieces) {
  static std::atomic<uint64_t> serial{0};
  const std::string temporary =
      absl::StrCat(path, ".", ::getpid(), ".", serial.fetch_add(1), ".tmp");
  ::unlink(temporary.c_str());  // left by a crashed process of the same number
  const int descriptor =
      ::open(temporary.c_str(),
             O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor < 0)
    return ErrnoStatus(errno, absl::StrCat("cannot create ", temporary));
  absl::Status status;
  for (absl::string_view piece : pieces) {
    status = WriteAll(descriptor, piece, temporary);
    if (!status.ok()) break;
  }
  if (status.ok() && SyncToDisk(descriptor) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("cannot sync ", temporary));
  }
  if (::close(descriptor) != 0 && status.ok()) {
    status = ErrnoStatus(errno, absl::StrCat("cannot close ", temporary));
  }
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = ErrnoStatus(
        errno, absl::StrCat("cannot rename ", temporary, " to ", path));
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncFolderOf(path);
}

}  // namespace trainyard::data
