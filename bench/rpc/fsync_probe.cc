#include "bench/rpc/fsync_probe.h"

#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace trainyard::bench {
namespace {

constexpr size_t kWrites = 200;

bool IsInMemory(const std::string& folder) {
#ifdef __linux__
  struct statfs info = {};
  return statfs(folder.c_str(), &info) == 0 &&
         (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
#else
  return false;
#endif
}

int SyncData(int descriptor) {
#ifdef __APPLE__
  return fcntl(descriptor, F_FULLFSYNC);
#else
  return fdatasync(descriptor);
#endif
}

}  // namespace

absl::StatusOr<absl::Duration> MedianFsync(const std::string& folder) {
  if (IsInMemory(folder)) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder,
        " is in memory, where fsync does nothing: choose a folder on "
        "a disk with --folder or TMPDIR"));
  }
  const std::string path = absl::StrCat(folder, "/fsync-probe");
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return absl::ErrnoToStatus(errno, path);
  const std::string page(4096, 'x');
  std::vector<absl::Duration> times;
  absl::Status status;
  while (times.size() < kWrites) {
    const auto begin = std::chrono::steady_clock::now();
    if (write(file, page.data(), page.size()) !=
            static_cast<ssize_t>(page.size()) ||
        SyncData(file) != 0) {
      status = absl::ErrnoToStatus(errno, path);
      break;
    }
    times.push_back(absl::FromChrono(std::chrono::steady_clock::now() - begin));
  }
  close(file);
  unlink(path.c_str());
  if (!status.ok()) return status;
  std::nth_element(times.begin(), times.begin() + kWrites / 2, times.end());
  return times[kWrites / 2];
}

}  // namespace trainyard::bench
