// The agent's decisions: which attempts it holds, where each one is, and what
// is to be done next. Pure: no I/O, no thread, no clock, no randomness.
//
//   Core core(options);
//   for (const Action& action : core.Handle(now, event)) Perform(action);
//   session.Publish(core.snapshot());
//   wait until an event arrives or core.NextDeadline(), then Handle(now,
//   Tick{})
//
// An attempt's stages (phase shown to the server in brackets):
//
//                Prepare          Spawn            'started'
//   listed ──► kPreparing ──► (kWaiting ──►) kStarting ──────► kRunning
//              [PREPARING]      [PREPARING]                    [RUNNING]
//                   │ failed, stopped            │ process gone   │
//                   ▼                            ▼                ▼
//              kFlushing ◄── outputs, newest ── kWrappingUp ◄─────┘
//                   │         checkpoint stored
//                   ▼                                not listed
//                kEnded [ENDED] ──────────────────────────────► kReleasing ──►
//                                                    gone
// While a stop is asked for, stages before kEnded show as STOPPING. An attempt
// that is no longer listed is stopped like a cancelled one and then released
// without a report. An attempt waits in kWaiting for devices whose earlier
// attempt is still stopping.
//
// A core that adopts attempts an earlier process kept does nothing else: it
// hands them over, as one that leaves, and is done when the server has taken
// note of all.
//
// Not thread-safe: the agent's loop owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "workers/agent/outcome.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

// ---- what happens

// The server's word: all that this worker should hold.
struct DesiredReceived {
  uint64_t stream = 0;
  uint64_t sequence = 0;
  std::vector<DesiredAttempt> attempts;
};
// First of all, if at all: what the process before this one kept.
struct Adopted {
  std::vector<KeptAttempt> attempts;
};
// A new stream: sequences start over.
struct StreamOpened {
  uint64_t stream = 0;
};
// Answer to Prepare, also after Abort: inputs are there, or why not.
struct Prepared {
  AttemptKey key;
  std::optional<Failure> failure;
};
// The runner's own events (docs/runner_protocol.md).
struct RunnerStarted {
  AttemptKey key;
};
struct CheckpointWritten {
  AttemptKey key;
  uint64_t step = 0;
  std::string path;
};
struct RunnerReported {
  AttemptKey key;
  TerminalEvent event;
};
// Answer to Spawn: could not start, or is gone with all its group.
struct RunnerExited {
  AttemptKey key;
  ProcessExit exit;
  std::optional<Failure> spawn_failure;
};
// Answer to UploadCheckpoint, unless a newer one took its place.
struct CheckpointUploaded {
  AttemptKey key;
  uint64_t upload = 0;
  std::optional<Checkpoint> checkpoint;  // none: it failed, or was given up
};
// Answer to UploadOutputs.
struct OutputsUploaded {
  AttemptKey key;
  std::vector<Output> outputs;
  std::optional<Failure> failure;
};
// Answer to FlushTelemetry.
struct TelemetryFlushed {
  AttemptKey key;
};
// Answer to Release.
struct Released {
  AttemptKey key;
};
// The process was asked to end, `by` then at the latest. The second time:
// faster.
struct LeaveRequested {
  absl::Time by = absl::InfiniteFuture();
};
// Time passed.
struct Tick {};

using Event = std::variant<DesiredReceived, Adopted, StreamOpened, Prepared,
                           RunnerStarted, CheckpointWritten, RunnerReported,
                           RunnerExited, CheckpointUploaded, OutputsUploaded,
                           TelemetryFlushed, Released, LeaveRequested, Tick>;

// ---- what is to be done

// Make the attempt's folder, fetch its inputs. Answer: Prepared.
struct Prepare {
  DesiredAttempt attempt;
};
// Give up what Prepare or an upload is doing; their answers still come.
struct Abort {
  AttemptKey key;
};
// Start the runner. Answers: the runner's events, then RunnerExited.
struct Spawn {
  AttemptKey key;
};
// Send the command "stop".
struct SendStop {
  AttemptKey key;
};
// Signal the process group.
struct SendSignal {
  AttemptKey key;
  int signal = 0;
};
// Store a checkpoint; replaces one that still waits.
struct UploadCheckpoint {
  AttemptKey key;
  uint64_t upload = 0;
  uint64_t step = 0;
  std::string path;
};
// Store files below output/; checkpoints are no longer needed.
struct UploadOutputs {
  AttemptKey key;
  std::vector<std::string> names;
};
// Tell when all telemetry so far is acknowledged.
struct FlushTelemetry {
  AttemptKey key;
};
// A remark for the attempt's log.
struct Remark {
  AttemptKey key;
  std::string text;
};
// Remove the attempt's folder, let go of its inputs. Answer: Released.
struct Release {
  AttemptKey key;
};
// The worker has nothing left to do: leave.
struct Exit {};

using Effect =
    std::variant<Prepare, Abort, Spawn, SendStop, SendSignal, UploadCheckpoint,
                 UploadOutputs, FlushTelemetry, Remark, Release, Exit>;

struct CoreOptions {
  // From the command "stop" to SIGTERM.
  absl::Duration checkpoint_grace = absl::Seconds(30);
  // From SIGTERM to SIGKILL, and from a last event to SIGTERM.
  absl::Duration grace = absl::Seconds(10);
  // Longest wait for acknowledged telemetry before an end is reported.
  absl::Duration flush_timeout = absl::Seconds(3);
  // While leaving: longest wait, after all processes are gone, for uploads and
  // for the server to take note.
  absl::Duration leave_timeout = absl::Seconds(10);
  // While leaving: longest time in all.
  absl::Duration leave_limit = absl::Seconds(80);
  // While leaving fast: from SIGTERM to SIGKILL.
  absl::Duration fast_grace = absl::Seconds(2);
  // Leaves by itself once it had no attempt for this long.
  absl::Duration idle_limit = absl::InfiniteDuration();
  size_t max_attempts = 1024;
};

class Core {
 public:
  explicit Core(CoreOptions options) : options_(options) {}

  std::vector<Effect> Handle(absl::Time now, const Event& event);
  // When to Handle a Tick at the latest. InfiniteFuture: never.
  absl::Time NextDeadline() const;
  Snapshot snapshot() const;
  // What the server has not taken note of: for the next process, once done.
  std::vector<KeptAttempt> Kept() const;
  // True once Exit was asked for.
  bool done() const { return done_; }
  // Whether it left since it had nothing to do for options.idle_limit.
  bool left_idle() const { return left_idle_; }

 private:
  enum class Stage {
    kPreparing,
    kWaiting,
    kStarting,
    kRunning,
    kWrappingUp,
    kFlushing,
    kEnded,
    kReleasing,
  };
  // Why it is to stop; later ones are stronger.
  enum class Stop { kNone, kPreempt, kCancel, kForget };
  struct Attempt {
    Stage stage = Stage::kPreparing;
    Stop stop = Stop::kNone;
    std::vector<std::string> devices;
    bool started = false;  // the runner said so
    // The process.
    std::optional<TerminalEvent> terminal;
    int last_signal = 0;  // newest we sent
    absl::Time escalate_at = absl::InfiniteFuture();
    // Wrapping up.
    uint64_t uploads_asked = 0;
    uint64_t uploads_done = 0;
    bool outputs_asked = false;
    bool outputs_done = false;
    bool aborted = false;  // uploads were given up to leave faster
    absl::Time flush_until = absl::InfiniteFuture();
    std::optional<LocalCheckpoint> newest;  // that the runner wrote
    Verdict verdict;
    // What is told.
    std::optional<Checkpoint> checkpoint;
    std::vector<Output> outputs;
  };
  using Attempts = std::map<AttemptKey, Attempt>;

  // One per kind of event.
  void On(const DesiredReceived& event);
  void On(const Adopted& event);
  void On(const StreamOpened& event);
  void On(const Prepared& event);
  void On(const RunnerStarted& event);
  void On(const CheckpointWritten& event);
  void On(const RunnerReported& event);
  void On(const RunnerExited& event);
  void On(const CheckpointUploaded& event);
  void On(const OutputsUploaded& event);
  void On(const TelemetryFlushed& event);
  void On(const Released& event);
  void On(const LeaveRequested& event);
  void On(const Tick&) {}

  // Level-triggered: whatever happened, compare what is with what should be.
  void Reconcile();
  void StopUnwanted();
  void StartListed();
  void RaiseStop(const AttemptKey& key, Attempt& attempt, Stop stop);
  void Signal(const AttemptKey& key, Attempt& attempt, int signal);
  // One step of one attempt, by its stage.
  void Advance(const AttemptKey& key, Attempt& attempt);
  void WrapUp(const AttemptKey& key, Attempt& attempt);
  void LeaveWhenIdle();
  void Leave();

  static bool HasProcess(const Attempt& attempt);
  static Phase PhaseOf(const Attempt& attempt);
  Attempt* Find(const AttemptKey& key);
  static bool HasFinished(const Attempt& attempt);
  bool leaving() const { return handing_over_ || leave_requests_ > 0; }
  bool leaving_fast() const { return leave_requests_ > 1; }
  bool DevicesBusy(const AttemptKey& key, const Attempt& attempt) const;

  const CoreOptions options_;
  absl::Time now_;
  std::vector<Effect> effects_;  // of the Handle in progress
  Attempts attempts_;
  std::vector<DesiredAttempt> desired_;
  uint64_t stream_ = 0;
  uint64_t applied_sequence_ = 0;
  bool heard_ = false;         // the server's word, once
  bool handing_over_ = false;  // what was adopted, and nothing else
  absl::Time idle_since_ = absl::InfiniteFuture();  // it has an attempt
  bool left_idle_ = false;
  int leave_requests_ = 0;
  absl::Time leave_until_ = absl::InfiniteFuture();  // all processes are gone
  absl::Time leave_at_latest_ = absl::InfiniteFuture();
  bool done_ = false;
};

}  // namespace trainyard::agent
