// Carries out what the core wants for one attempt: its folder, its inputs, its
// runner, its uploads. Every answer is an event.
//
//   AttemptWork work(&context, key);
//   work.Prepare(desired);  …Prepared…  work.Spawn();  …RunnerExited…
//   work.Release();  …Released…   then destroy it
//
// Methods do not block; called by the agent's loop alone. Two threads: one for
// files and transfers, the supervisor's for the runner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "workers/agent/artifact_client.h"
#include "workers/agent/cancellation.h"
#include "workers/agent/core.h"
#include "workers/agent/data_roots.h"
#include "workers/agent/devices/device.h"
#include "workers/agent/input_cache.h"
#include "workers/agent/input_names.h"
#include "workers/agent/spool.h"
#include "workers/agent/story.h"
#include "workers/agent/supervisor.h"
#include "workers/agent/usage.h"
#include "workers/agent/work_dir.h"

namespace trainyard::agent {

// What all attempts share. Outlives them.
struct AttemptContext {
  const WorkDir* work_dir;
  const DataRoots* data_roots;
  InputCache* cache;
  ArtifactClient* artifacts;
  Spool* spool;
  const Devices* devices;
  Clock* clock;
  std::string runner;  // the program
  uint32_t cores = 1;
  std::function<void(Event)> post;  // may wait for room
};

class AttemptWork {
 public:
  AttemptWork(const AttemptContext* context, const AttemptKey& key);
  ~AttemptWork();  // kills the runner, gives up transfers
  AttemptWork(const AttemptWork&) = delete;
  AttemptWork& operator=(const AttemptWork&) = delete;

  void Prepare(DesiredAttempt attempt);
  void Abort();
  void Spawn();  // after a Prepared without failure
  void SendStop();
  void SendSignal(int signal);
  void UploadCheckpoint(const struct UploadCheckpoint& upload);
  void UploadOutputs(std::vector<std::string> names);
  void Remark(const std::string& text);
  void Release();

 private:
  // What the transfers' thread is to do, most urgent first.
  struct Tasks {
    std::optional<DesiredAttempt> prepare;
    std::optional<struct UploadCheckpoint> checkpoint;  // the newest
    std::optional<std::vector<std::string>> outputs;
    bool release = false;
    bool quit = false;
  };

  void RunTasks();
  Tasks AwaitTasks();
  absl::Status DoPrepare(const DesiredAttempt& attempt);
  absl::Status FetchCheckpoint(const Checkpoint& checkpoint);
  absl::Status FindDevices(const std::vector<std::string>& ids);
  absl::StatusOr<Checkpoint> DoUploadCheckpoint(
      const struct UploadCheckpoint& upload);
  absl::StatusOr<std::vector<Output>> DoUploadOutputs(
      const std::vector<std::string>& names);
  void DoRelease();

  void OnEvent(RunnerEvent event);
  void OnLine(v1::LogLine::Stream stream, std::string text);

  const AttemptContext* const context_;
  const AttemptKey key_;
  const std::string folder_;
  Cancellation cancellation_;             // of all but checkpoints
  Cancellation checkpoint_cancellation_;  // no longer wanted, or all given up

  // Set by DoPrepare, read once it is done.
  std::vector<InputCache::Pin> pins_;
  InputNames input_names_;
  std::string resume_;
  std::vector<const Device*> devices_;
  std::vector<DeviceInfo> device_infos_;
  uint32_t threads_ = 1;

  std::unique_ptr<UsageSampler> usage_;  // the supervisor's thread
  std::optional<Story> story_;           // the same
  std::unique_ptr<Supervisor> supervisor_;

  absl::Mutex mutex_;
  Tasks tasks_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trainyard::agent
