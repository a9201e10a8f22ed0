// The events channel of docs/runner_protocol.md: one JSON object per line.
//
//   Events events(3, EventTimeouts());
//   RETURN_IF_ERROR(events.Started(0, 938, 93322, "cpu"));
//
// Not thread-safe: the training loop's thread owns it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace trainyard::runner {

// What a `failed` event blames.
enum class FailureCategory {
  kUserError,
  kOutOfMemory,
  kCrash,
  kInfrastructure
};

std::string Name(FailureCategory category);
// Faults of the options and the data are the user's, RESOURCE_EXHAUSTED is
// memory, UNAVAILABLE, DEADLINE_EXCEEDED and ABORTED are the machine's, others
// are ours.
FailureCategory CategoryOf(const absl::Status& status);

// How long a reader that does not read may hold the runner up.
struct EventTimeouts {
  absl::Duration metrics = absl::ZeroDuration();
  absl::Duration others = absl::Minutes(1);
};

// Every method writes one line and returns UNAVAILABLE when the reader is gone
// or has not read for the timeout: the runner should then end. A metrics line
// that finds the pipe full is dropped instead (they are in metrics.jsonl too),
// so a slow reader never slows the training.
class Events {
 public:
  // Borrows `descriptor`. SIGPIPE must be ignored.
  Events(int descriptor, EventTimeouts timeouts)
      : descriptor_(descriptor), timeouts_(timeouts) {}
  virtual ~Events() = default;
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  absl::Status Started(uint64_t step, uint64_t total_steps, uint64_t parameters,
                       const std::string& device);
  // `point` has the fields of MetricPoint.
  absl::Status Metrics(const nlohmann::json& point);
  absl::Status Checkpoint(uint64_t step, const std::string& path);
  absl::Status Finished(const std::vector<std::string>& outputs);
  absl::Status Stopped(uint64_t step);
  absl::Status Failed(const absl::Status& why);

  uint64_t dropped_metrics() const { return dropped_metrics_; }

 private:
  absl::Status Write(const nlohmann::json& event);
  // One whole line; virtual for tests.
  virtual absl::Status WriteLine(absl::string_view line,
                                 absl::Duration timeout);

  const int descriptor_;
  const EventTimeouts timeouts_;
  uint64_t dropped_metrics_ = 0;
};

// What becomes a line: `event` as JSON on one line with its newline, invalid
// UTF-8 replaced.
std::string EventLine(const nlohmann::json& event);

}  // namespace trainyard::runner
