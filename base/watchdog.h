// Tells the service manager again and again that this process works, as long as
// a check says so. A manager that has not heard for its WatchdogSec ends the
// process and starts it anew.
//
//   const Watchdog watchdog(notifier, [&] { return app->Responds(limit); });
//
// Has a thread of its own, which ends with the object; none where the manager
// waits for nothing. Thread-safe.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/service_notifier.h"

namespace trainyard {

class Watchdog {
 public:
  // `works` is called on the watchdog's thread once per watchdog_interval and
  // takes no longer than that.
  Watchdog(const ServiceNotifier& notifier, std::function<bool()> works);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run();

  const ServiceNotifier notifier_;
  const std::function<bool()> works_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace trainyard
