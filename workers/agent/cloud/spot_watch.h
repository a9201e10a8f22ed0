// Asks a cloud's metadata service again and again whether this machine is about
// to be taken away, and tells once.
//
//   SpotWatch watch({.cloud = Cloud::kAws}, [&](const SpotNotice& notice) {
//     agent.RequestLeave(notice.at.value_or(now + absl::Seconds(30))); });
//
// Has a thread of its own, which ends with the object (within `timeout`); none
// for Cloud::kNone. Thread-safe.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "workers/agent/cloud/spot_notice.h"

namespace trainyard::agent {

struct SpotWatchOptions {
  Cloud cloud = Cloud::kNone;
  // http://HOST[:PORT], where all three clouds have it.
  std::string endpoint = "http://169.254.169.254";
  absl::Duration interval = absl::Seconds(5);
  absl::Duration timeout = absl::Seconds(2);  // of one question
};

// INVALID_ARGUMENT: not of the form http://HOST[:PORT].
absl::Status CheckMetadataEndpoint(const std::string& endpoint);

// Asks once. UNAVAILABLE: no answer.
absl::StatusOr<std::optional<SpotNotice>> AskForSpotNotice(
    const SpotWatchOptions& options);

class SpotWatch {
 public:
  // `on_notice` is called at most once, on the watch's thread.
  SpotWatch(SpotWatchOptions options,
            std::function<void(const SpotNotice&)> on_notice);
  ~SpotWatch();
  SpotWatch(const SpotWatch&) = delete;
  SpotWatch& operator=(const SpotWatch&) = delete;

 private:
  void Run();

  const SpotWatchOptions options_;
  const std::function<void(const SpotNotice&)> on_notice_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace trainyard::agent
