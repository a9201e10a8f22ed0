// Wakes long-lived streams now and then, so that they can send a sign of life
// or notice that a peer went silent, and ends them all when the server stops.
//
//   class Stream : public Pulse::Listener, … {
//     void OnPulse(absl::Time now) override; void OnClose() override; };
//   pulse.Add(stream);
//
// Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace trainyard::rpc {

class Pulse {
 public:
  // Both are called on the pulse's thread or in CloseAll: short, no waiting.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void OnPulse(absl::Time now) = 0;
    // The server stops: end the stream.
    virtual void OnClose() = 0;
  };

  // `interval` of real time between pulses; they tell the clock's time.
  Pulse(absl::Duration interval, const Clock* clock);
  ~Pulse();  // stops
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  // Forgotten once nobody else owns it. After CloseAll it is closed at once.
  void Add(const std::shared_ptr<Listener>& listener);
  void Remove(const Listener* listener);
  void CloseAll();
  void Stop();

 private:
  void Run();
  std::vector<std::shared_ptr<Listener>> Listeners();

  const absl::Duration interval_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<const Listener*, std::weak_ptr<Listener>> listeners_
      ABSL_GUARDED_BY(mutex_);
  absl::Mutex stop_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(stop_mutex_);
};

}  // namespace trainyard::rpc
