// The remarks with which a worker tells an attempt's story in its log: what
// started where, what each epoch brought, which checkpoints were written, how
// it ended. Bounded: of many epochs fewer and fewer are told.
//
//   Story story("cpu (Intel Xeon), 2 threads");
//   if (auto text = story.On(event)) … a line of STREAM_WORKER …
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "workers/agent/runner_events.h"

namespace trainyard::agent {

class Story {
 public:
  // `devices` as people know them.
  explicit Story(std::string devices) : devices_(std::move(devices)) {}

  // What there is to tell of the event; nothing: nullopt.
  std::optional<std::string> On(const RunnerEvent& event);

 private:
  std::optional<std::string> Tell(const StartedEvent& event);
  std::optional<std::string> Tell(const v1::MetricPoint& point);
  std::optional<std::string> Tell(const CheckpointEvent& event);
  std::optional<std::string> Tell(const TerminalEvent& event);
  std::optional<std::string> Tell(const UnknownEvent&) { return std::nullopt; }

  const std::string devices_;
  uint64_t step_ = 0;  // newest
  std::optional<double> loss_;
  uint64_t epochs_ = 0;  // that ended
  uint64_t checkpoints_ = 0;
  bool ended_ = false;
};

// Whether the n-th of its kind (from 1) gets a line: all of the first 200, then
// each tenth up to 2,000, each hundredth up to 20,000 and so on.
bool IsTold(uint64_t n);

}  // namespace trainyard::agent
