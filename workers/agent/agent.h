// The whole worker: one loop that feeds the core with events and carries out
// what it wants, and around it the streams, the spool, the cache and the
// attempts.
//
//   Agent agent(options, &work_dir, data_roots, &devices, channel,
//               RealClock());
//   RETURN_IF_ERROR(agent.Start());
//   agent.Run();                       // until it has left
//   …on another thread: agent.RequestLeave();
//
// RequestLeave and Responds are thread-safe; the rest is called from one
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "grpcpp/channel.h"
#include "workers/agent/artifact_client.h"
#include "workers/agent/attempt_work.h"
#include "workers/agent/core.h"
#include "workers/agent/data_roots.h"
#include "workers/agent/devices/device.h"
#include "workers/agent/health.h"
#include "workers/agent/inbox.h"
#include "workers/agent/input_cache.h"
#include "workers/agent/session.h"
#include "workers/agent/spool.h"
#include "workers/agent/telemetry_stream.h"
#include "workers/agent/work_dir.h"

namespace trainyard::agent {

struct AgentOptions {
  std::string name;
  std::string instance_id;
  std::string version;
  std::string server;  // its address, for messages
  std::map<std::string, std::string> labels;
  std::string runner;  // the program's path
  uint64_t cache_limit_bytes = 0;
  uint32_t cores = 1;  // of the machine, for runners
  uint32_t seed = 0;   // of all random pauses
  // Hands over what an earlier process of that instance_id kept, and leaves.
  std::vector<KeptAttempt> adopted;
  CoreOptions core;
  BackoffOptions backoff;
  // Called when the server took us in, on a thread of the session.
  std::function<void()> on_connected;
};

class Agent {
 public:
  Agent(AgentOptions options, WorkDir* work_dir, DataRoots data_roots,
        const Devices* devices, std::shared_ptr<grpc::Channel> channel,
        Clock* clock);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  absl::Status Start();
  // Until it has left. FAILED_PRECONDITION: a newer worker of the same name
  // took its place; the server would never hear this one again.
  absl::Status Run();
  // By `by` at the latest; a second request is faster.
  void RequestLeave(absl::Time by = absl::InfiniteFuture());
  // After Run: it left since it had nothing to do for core.idle_limit.
  bool left_idle() const { return core_.left_idle(); }
  // Whether RequestLeave was called.
  bool asked_to_leave() const { return asked_to_leave_; }
  // Whether the loop has turned within `patience`. Thread-safe.
  bool Responds(absl::Duration patience) const;

 private:
  SessionOptions MakeSessionOptions() const;
  SessionCallbacks MakeSessionCallbacks();
  // As of now.
  MachineReport DescribeMachine() const;
  void Adopt();
  void Perform(const Effect& effect);
  // What the server has not taken note of goes to the work folder.
  void Keep();
  // One per kind of effect.
  void Do(const Prepare& effect);
  void Do(const Abort& effect);
  void Do(const Spawn& effect);
  void Do(const SendStop& effect);
  void Do(const SendSignal& effect);
  void Do(const UploadCheckpoint& effect);
  void Do(const UploadOutputs& effect);
  void Do(const FlushTelemetry& effect);
  void Do(const Remark& effect);
  void Do(const Release& effect);
  void Do(const Exit&) {}

  const AgentOptions options_;
  WorkDir* const work_dir_;
  const DataRoots data_roots_;
  const Devices* const devices_;
  Clock* const clock_;
  Inbox inbox_;
  std::atomic<bool> replaced_ = false;  // set by the session's threads
  std::atomic<bool> asked_to_leave_ = false;
  std::atomic<int64_t> last_turn_seconds_;  // by clock_, Unix time
  HealthFile health_;                       // renewed by the session's threads
  Core core_;
  Snapshot published_;
  ArtifactClient artifacts_;
  InputCache cache_;
  Spool spool_;
  AttemptContext context_;
  std::map<AttemptKey, std::unique_ptr<AttemptWork>> attempts_;
  TelemetryStream telemetry_;
  Session session_;
};

}  // namespace trainyard::agent
