#include "base/service_notifier.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace trainyard {
namespace {

std::string TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  std::string taken = value == nullptr ? "" : value;
  unsetenv(name);
  return taken;
}

absl::Duration WatchdogInterval(const std::string& usec,
                                const std::string& pid) {
  int64_t microseconds = 0;
  if (!absl::SimpleAtoi(usec, &microseconds) || microseconds <= 0) {
    return absl::InfiniteDuration();
  }
  if (!pid.empty() && pid != absl::StrCat(getpid())) {
    return absl::InfiniteDuration();
  }
  return absl::Microseconds(microseconds) / 2;
}

}  // namespace

ServiceNotifier ServiceNotifier::FromEnvironment() {
  std::string socket = TakeVariable("NOTIFY_SOCKET");
  const std::string usec = TakeVariable("WATCHDOG_USEC");
  const std::string pid = TakeVariable("WATCHDOG_PID");
  return ServiceNotifier(std::move(socket), WatchdogInterval(usec, pid));
}

ServiceNotifier::ServiceNotifier(std::string socket,
                                 absl::Duration watchdog_interval)
    : socket_(std::move(socket)),
      watchdog_interval_(socket_.empty() ? absl::InfiniteDuration()
                                         : watchdog_interval) {}

void ServiceNotifier::Ready(absl::string_view status) const {
  // One field a line.
  const std::string line = absl::StrReplaceAll(status, {{"\n", " "}});
  Send(absl::StrCat("READY=1\nSTATUS=", line));
}

void ServiceNotifier::Stopping() const { Send("STOPPING=1"); }

void ServiceNotifier::KeepAlive() const { Send("WATCHDOG=1"); }

void ServiceNotifier::Send(const std::string& message) const {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_.empty() || socket_.size() >= sizeof(address.sun_path)) return;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (fd < 0) return;
  // A manager that does not read is no reason to wait.
  sendto(
      fd, message.data(), message.size(), MSG_DONTWAIT,
      reinterpret_cast<const sockaddr*>(&address),
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size()));
  close(fd);
}

}  // namespace trainyard
