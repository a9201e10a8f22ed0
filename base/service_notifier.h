// Tells the service manager that started this process how it is: systemd's
// protocol (sd_notify(3)), one datagram per message. Without a manager that
// listens every call does nothing.
//
//   ServiceNotifier notifier = ServiceNotifier::FromEnvironment();
//   notifier.Ready("listening on 127.0.0.1:7070");
//   …at least every notifier.watchdog_interval(): notifier.KeepAlive();
//   notifier.Stopping();
//
// Not thread-safe.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard {

class ServiceNotifier {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them, so
  // that no child takes them for its own.
  static ServiceNotifier FromEnvironment();
  // `socket` is a path, or an abstract name that begins with '@'; empty:
  // nobody listens.
  ServiceNotifier(std::string socket, absl::Duration watchdog_interval);

  void Ready(absl::string_view status) const;
  void Stopping() const;
  void KeepAlive() const;

  // Half of what the manager waits for a KeepAlive before it ends the process;
  // infinite: it does not wait for one.
  absl::Duration watchdog_interval() const { return watchdog_interval_; }

 private:
  void Send(const std::string& message) const;

  std::string socket_;
  absl::Duration watchdog_interval_;
};

}  // namespace trainyard
