#include "base/watchdog.h"

#include <utility>

#include "base/log.h"

namespace trainyard {

Watchdog::Watchdog(const ServiceNotifier& notifier, std::function<bool()> works)
    : notifier_(notifier), works_(std::move(works)) {
  if (notifier_.watchdog_interval() == absl::InfiniteDuration()) return;
  thread_ = std::thread([this] { Run(); });
}

Watchdog::~Watchdog() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Run() {
  for (;;) {
    if (works_()) {
      notifier_.KeepAlive();
    } else {
      spdlog::error("the watchdog's check failed: this process does not turn");
    }
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_),
                                notifier_.watchdog_interval())) {
      return;
    }
  }
}

}  // namespace trainyard
