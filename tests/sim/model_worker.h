// A worker as proto/trainyard/v1/worker_service.proto tells it to behave, in
// virtual time and without processes: attempts are counters.
//
// Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/random/bit_gen_ref.h"
#include "absl/time/time.h"
#include "server/core/types.h"

namespace trainyard::sim {

// One SynchronizeResponse.
struct Response {
  uint64_t sequence = 0;
  core::Desired desired;
};

// One SynchronizeRequest; applied_revision of the report is unset.
struct Request {
  core::WorkerReport report;
  uint64_t applied_sequence = 0;
};

// How an attempt will go, the same on every worker.
struct Fate {
  int steps = 1;  // until it ends by itself; below 0: never
  core::Outcome outcome = core::Outcome::kSucceeded;
  core::FailureCategory category = core::FailureCategory::kCrash;
};
Fate FateOf(uint64_t seed, const core::AttemptKey& key);

class ModelWorker {
 public:
  ModelWorker(uint64_t seed, core::WorkerName name,
              std::vector<core::Device> devices, absl::BitGenRef random);

  // A new process: everything it held is gone.
  void Restart();
  // A new stream: nothing applied on it yet.
  void Connect() { applied_sequence_ = 0; }
  void Apply(const Response& response);
  // Lets everything it runs go on a little. True when it has news.
  bool Step();
  Request Say() const;

  const core::WorkerName& name() const { return name_; }
  const std::string& instance() const { return instance_; }
  bool Holds(const core::AttemptKey& key) const { return held_.contains(key); }
  size_t held() const { return held_.size(); }

  // How often it started each attempt, over all its instances.
  const std::map<core::AttemptKey, int>& started() const { return started_; }
  // Those that succeeded and were forgotten since: the server knows of them.
  std::vector<core::AttemptKey> TakeForgotten();
  bool leaving = false;

 private:
  struct Held {
    core::AttemptStatus status;
    core::Action action = core::Action::kRun;
    core::Action stop = core::Action::kRun;  // why it is stopping, if it is
    uint64_t step = 0;                       // done, over all attempts
    int own_steps = 0;                       // done by this one
  };

  void Start(const core::DesiredAttempt& desired);
  bool Advance(Held& held);
  void End(Held& held, core::Outcome outcome);

  const uint64_t seed_;
  const core::WorkerName name_;
  const std::vector<core::Device> devices_;
  absl::BitGenRef random_;
  std::string instance_;
  int restarts_ = 0;
  uint64_t applied_sequence_ = 0;
  std::map<core::AttemptKey, Held> held_;
  std::map<core::AttemptKey, int> started_;
  std::vector<core::AttemptKey> forgotten_;
};

}  // namespace trainyard::sim
