#include "server/adapters/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace trainyard::adapters {

absl::StatusOr<StateLock> StateLock::Take(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/lock");
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  StateLock lock(descriptor);
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 32> holder = {};
    const ssize_t size = pread(descriptor, holder.data(), holder.size() - 1, 0);
    const std::string process(absl::StripAsciiWhitespace(
        std::string(holder.data(), size > 0 ? size : 0)));
    return absl::FailedPreconditionError(absl::StrCat(
        "state folder ", folder, " is in use by another trainyard-server",
        process.empty() ? "" : absl::StrCat(" (process ", process, ")"),
        ": stop that one or give this one its own --state-dir"));
  }
  const std::string process = absl::StrCat(getpid(), "\n");
  if (ftruncate(descriptor, 0) != 0 ||
      pwrite(descriptor, process.data(), process.size(), 0) < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("writing ", path));
  }
  return lock;
}

StateLock::~StateLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace trainyard::adapters
