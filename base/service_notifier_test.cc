#include "base/service_notifier.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace trainyard {
namespace {

// A socket with an abstract name, as a service manager has it.
class FakeManager {
 public:
  FakeManager()
      : name_(absl::StrCat("@trainyard-notifier-test-", getpid())),
        fd_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data() + 1, name_.size() - 1);
    EXPECT_EQ(0, bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                             name_.size())));
  }
  ~FakeManager() { close(fd_); }

  const std::string& name() const { return name_; }
  // The oldest message; empty: there is none.
  std::string Take() {
    char buffer[1024];
    const ssize_t size = recv(fd_, buffer, sizeof(buffer), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(buffer, static_cast<size_t>(size));
  }

 private:
  std::string name_;
  int fd_;
};

TEST(ServiceNotifier, TellsTheManager) {
  FakeManager manager;
  const ServiceNotifier notifier(manager.name(), absl::Seconds(5));
  notifier.Ready("listening\non x");
  EXPECT_EQ(manager.Take(), "READY=1\nSTATUS=listening on x");
  notifier.KeepAlive();
  EXPECT_EQ(manager.Take(), "WATCHDOG=1");
  notifier.Stopping();
  EXPECT_EQ(manager.Take(), "STOPPING=1");
  EXPECT_EQ(manager.Take(), "");
}

TEST(ServiceNotifier, TakesTheEnvironmentForItselfAlone) {
  FakeManager manager;
  setenv("NOTIFY_SOCKET", manager.name().c_str(), 1);
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", absl::StrCat(getpid()).c_str(), 1);
  const ServiceNotifier notifier = ServiceNotifier::FromEnvironment();
  EXPECT_EQ(notifier.watchdog_interval(), absl::Seconds(15));
  notifier.Stopping();
  EXPECT_EQ(manager.Take(), "STOPPING=1");
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    EXPECT_EQ(std::getenv(name), nullptr) << name;
  }
}

TEST(ServiceNotifier, LeavesTheWatchdogOfAnotherProcessAlone) {
  FakeManager manager;
  setenv("NOTIFY_SOCKET", manager.name().c_str(), 1);
  setenv("WATCHDOG_USEC", "30000000", 1);
  setenv("WATCHDOG_PID", absl::StrCat(getpid() + 1).c_str(), 1);
  EXPECT_EQ(ServiceNotifier::FromEnvironment().watchdog_interval(),
            absl::InfiniteDuration());
}

TEST(ServiceNotifier, DoesNothingWithoutAManager) {
  const ServiceNotifier nobody("", absl::Seconds(5));
  nobody.Ready("x");
  EXPECT_EQ(nobody.watchdog_interval(), absl::InfiniteDuration());
  const ServiceNotifier gone("@trainyard-nobody-listens", absl::Seconds(5));
  gone.KeepAlive();
  const ServiceNotifier too_long(std::string(200, 'x'), absl::Seconds(5));
  too_long.KeepAlive();
}

}  // namespace
}  // namespace trainyard
