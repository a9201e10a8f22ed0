// Watches over one runner: starts it, passes on its events and its lines,
// sends it commands and signals, and tells how it ended. One thread, from the
// start of the process to its end.
//
//   Supervisor runner(spec, callbacks);
//   runner.SendCommand(R"({"command":"stop"})");
//   runner.Signal(SIGTERM);
//
// Thread-safe. Callbacks run on its thread; on_exit is the last one and comes
// exactly once, when the whole process group is gone. The destructor kills the
// group and waits for that.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "trainyard/v1/telemetry.pb.h"
#include "workers/agent/fd.h"
#include "workers/agent/process.h"
#include "workers/agent/runner_events.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

inline constexpr size_t kMaxLogLineBytes = 8 * 1024;
inline constexpr size_t kStderrTailBytes = 16 * 1024;

struct SupervisorCallbacks {
  std::function<void(pid_t)> on_start;
  std::function<void(RunnerEvent)> on_event;
  // A line the runner printed, or a remark on it (STREAM_WORKER).
  std::function<void(v1::LogLine::Stream, std::string)> on_line;
  // status: why it could not be started; else OK and how it ended.
  std::function<void(absl::Status, ProcessExit)> on_exit;
};

class Supervisor {
 public:
  Supervisor(ProcessSpec spec, SupervisorCallbacks callbacks);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Without the newline. Commands beyond 64 KiB that the runner does not read
  // are dropped.
  void SendCommand(std::string command);
  void Signal(int signal);

 private:
  class Loop;
  // What others want done on the thread.
  struct Wanted {
    std::string commands;
    std::vector<int> signals;
  };

  void Wake();
  Wanted TakeWanted();

  const ProcessSpec spec_;
  const SupervisorCallbacks callbacks_;
  Fd wake_read_, wake_write_;
  absl::Mutex mutex_;
  Wanted wanted_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace trainyard::agent
