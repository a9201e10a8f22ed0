// What a runner says on descriptor 3 (docs/runner_protocol.md), checked: the
// runner is not trusted. Pure.
//
//   ASSIGN_OR_RETURN(RunnerEvent event, ParseRunnerEvent(line));
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/telemetry.pb.h"
#include "workers/agent/outcome.h"

namespace trainyard::agent {

inline constexpr size_t kMaxEventBytes = 64 * 1024;

struct StartedEvent {
  uint64_t step = 0;         // above 0 after a resume
  uint64_t total_steps = 0;  // 0: not known
  uint64_t parameters = 0;   // 0: not known
};
struct CheckpointEvent {
  uint64_t step = 0;
  std::string path;
};
// An event of a newer protocol.
struct UnknownEvent {
  std::string name;
};

using RunnerEvent = std::variant<StartedEvent, v1::MetricPoint, CheckpointEvent,
                                 TerminalEvent, UnknownEvent>;

// INVALID_ARGUMENT names the member and what would be right. Points come
// without a time.
absl::StatusOr<RunnerEvent> ParseRunnerEvent(absl::string_view line);

}  // namespace trainyard::agent
