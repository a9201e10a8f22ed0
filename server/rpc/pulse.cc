#include "server/rpc/pulse.h"

#include <utility>

namespace trainyard::rpc {

Pulse::Pulse(absl::Duration interval, const Clock* clock)
    : interval_(interval), clock_(clock) {
  absl::MutexLock lock(&stop_mutex_);
  thread_ = std::thread([this] { Run(); });
}

Pulse::~Pulse() { Stop(); }

void Pulse::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  absl::MutexLock lock(&stop_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Pulse::Add(const std::shared_ptr<Listener>& listener) {
  {
    absl::MutexLock lock(&mutex_);
    listeners_[listener.get()] = listener;
    if (!closed_) return;
  }
  listener->OnClose();
}

void Pulse::Remove(const Listener* listener) {
  absl::MutexLock lock(&mutex_);
  listeners_.erase(listener);
}

std::vector<std::shared_ptr<Pulse::Listener>> Pulse::Listeners() {
  std::vector<std::shared_ptr<Listener>> all;
  absl::MutexLock lock(&mutex_);
  all.reserve(listeners_.size());
  for (const auto& [key, weak] : listeners_) {
    if (std::shared_ptr<Listener> listener = weak.lock())
      all.push_back(std::move(listener));
  }
  return all;
}

void Pulse::CloseAll() {
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  for (const std::shared_ptr<Listener>& listener : Listeners())
    listener->OnClose();
}

void Pulse::Run() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), interval_))
        return;
    }
    const absl::Time now = clock_->Now();
    for (const std::shared_ptr<Listener>& listener : Listeners())
      listener->OnPulse(now);
  }
}

}  // namespace trainyard::rpc
