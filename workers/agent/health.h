// Whether a worker is well, told through a small file in its work folder: the
// worker renews it with each heartbeat, `trainyard-worker --health` reads it.
//
//   HealthFile health(work_dir.health(), clock);
//   health.SetConnected();   health.SetDisconnected("connection refused");
//   health.Renew();          // still so
//
//   RETURN_IF_ERROR(CheckHealth(path, HealthKind::kReady, clock->Now()));
//
// HealthFile is thread-safe.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace trainyard::agent {

class HealthFile {
 public:
  // `path` must name a file in a folder that exists.
  HealthFile(std::string path, Clock* clock);
  ~HealthFile();  // removes the file: whoever asks then hears of no worker
  HealthFile(const HealthFile&) = delete;
  HealthFile& operator=(const HealthFile&) = delete;

  // A disk that is full is warned of once, and makes the file too old.
  void SetConnected();
  void SetDisconnected(absl::string_view reason);
  void Renew();

 private:
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  Clock* const clock_;

  absl::Mutex mutex_;
  bool connected_ ABSL_GUARDED_BY(mutex_) = false;
  std::string reason_ ABSL_GUARDED_BY(mutex_) = "it has just started";
  absl::Time since_ ABSL_GUARDED_BY(mutex_);
  bool warned_ ABSL_GUARDED_BY(mutex_) = false;
};

// What is asked for.
enum class HealthKind {
  // The worker's session turns. A worker without a server is alive: it goes on
  // with its jobs, and ending it would only cost them.
  kLive,
  // And it is connected: the server can give it jobs.
  kReady,
};

// The longest time between two renewals that a worker that is well takes, with
// room: heartbeats come at least once a minute.
inline constexpr absl::Duration kHealthFileLife = absl::Seconds(90);

// OK, or UNAVAILABLE saying what is amiss.
absl::Status CheckHealth(const std::string& path, HealthKind kind,
                         absl::Time now);

}  // namespace trainyard::agent
