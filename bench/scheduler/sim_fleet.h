// Workers that speak to a server over gRPC as real ones do and run nothing:
// each holds its Synchronize stream, takes what the server lists and says how
// it goes with it; with telemetry, each holds a ReportTelemetry stream, too.
//
//   ASSIGN_OR_RETURN(auto fleet, SimFleet::Start(address, {.workers = 64}));
//   RETURN_IF_ERROR(fleet->WaitUntilTold(absl::Seconds(30)));
//   … submit 1,000 jobs …
//   RETURN_IF_ERROR(fleet->WaitForEnds(1000, absl::Seconds(30)));
//
// Thread-safe; one thread of its own runs all the workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trainyard::bench {

struct SimFleetOptions {
  int workers = 64;
  int devices = 1;       // of each worker, all CUDA
  int connections = 64;  // shared by the workers
  // An attempt is over as soon as it is listed; else it runs for ever.
  bool end_at_once = true;
  // One point a second of every attempt that runs.
  bool telemetry = false;
  // Called on the fleet's thread for each attempt when it is first listed.
  std::function<void(std::chrono::steady_clock::time_point)> on_attempt;
};

struct SimFleetCounts {
  uint64_t told = 0;     // workers that were told what they should be
  uint64_t started = 0;  // attempts listed
  // Attempts whose end the server acknowledged: it was durable by then.
  uint64_t ended = 0;
  uint64_t reports = 0;  // SynchronizeRequests sent
  uint64_t points = 0;   // acknowledged: stored
};

class SimFleet {
 public:
  static absl::StatusOr<std::unique_ptr<SimFleet>> Start(
      const std::string& address, SimFleetOptions options);
  // Breaks the streams.
  ~SimFleet();
  SimFleet(const SimFleet&) = delete;
  SimFleet& operator=(const SimFleet&) = delete;

  SimFleetCounts counts() const;
  // The error is that of a stream that broke, or DEADLINE_EXCEEDED.
  absl::Status WaitUntilTold(absl::Duration timeout);
  absl::Status WaitForStarts(uint64_t attempts, absl::Duration timeout);
  absl::Status WaitForEnds(uint64_t attempts, absl::Duration timeout);

 private:
  class Impl;
  explicit SimFleet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trainyard::bench
