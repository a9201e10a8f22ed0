// The agent's vocabulary: plain values, no behaviour. The wire's forms of the
// same ideas are in proto/; convert.h maps between the two.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace trainyard::agent {

// One try at a job. The fence on every message.
struct AttemptKey {
  uint64_t job = 0;
  uint32_t attempt = 0;  // from 1
  friend auto operator<=>(const AttemptKey&, const AttemptKey&) = default;
};

enum class DeviceKind { kCpu, kCuda, kMps };

enum class Outcome { kNone, kSucceeded, kFailed, kCancelled, kPreempted };

enum class FailureCategory {
  kUserError,
  kOutOfMemory,
  kCrash,
  kInfrastructure
};

struct Failure {
  FailureCategory category = FailureCategory::kCrash;
  std::string message;
  std::string stderr_tail;
  int exit_code = 0;  // or minus the signal
  friend bool operator==(const Failure&, const Failure&) = default;
};

struct Checkpoint {
  uint64_t step = 0;
  std::string artifact;  // "sha256:…"
  uint64_t size_bytes = 0;
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

struct Output {
  std::string name;
  std::string artifact;  // "sha256:…"
  uint64_t size_bytes = 0;
  friend bool operator==(const Output&, const Output&) = default;
};

// Where an attempt is, as the server hears it.
enum class Phase { kPreparing, kRunning, kStopping, kEnded };

struct AttemptStatus {
  AttemptKey key;
  Phase phase = Phase::kPreparing;
  Outcome outcome = Outcome::kNone;  // with kEnded
  std::optional<Failure> failure;    // with Outcome::kFailed
  std::optional<Checkpoint> checkpoint;
  std::vector<Output> outputs;  // with Outcome::kSucceeded
  friend bool operator==(const AttemptStatus&, const AttemptStatus&) = default;
};

// A checkpoint that the runner wrote and that is not in the artifact store.
struct LocalCheckpoint {
  uint64_t step = 0;
  std::string path;  // as the runner said it
  friend bool operator==(const LocalCheckpoint&,
                         const LocalCheckpoint&) = default;
};

// An attempt that is over and could not be handed over to the server before
// the worker left. Its folder stays.
struct KeptAttempt {
  AttemptKey key;
  Outcome outcome = Outcome::kPreempted;
  std::optional<Failure> failure;           // with kFailed
  std::optional<Checkpoint> checkpoint;     // stored
  std::optional<LocalCheckpoint> unsent;    // newer than `checkpoint`
  std::vector<Output> outputs;              // stored; with kSucceeded
  std::vector<std::string> unsent_outputs;  // instead of `outputs`
  friend bool operator==(const KeptAttempt&, const KeptAttempt&) = default;
};

enum class Action { kRun, kPreempt, kCancel };

struct DesiredAttempt {
  AttemptKey key;
  Action action = Action::kRun;
  std::string spec;  // serialised JobSpec; empty: the server left it out
  std::vector<std::string> devices;
  std::optional<Checkpoint> checkpoint;
};

// What the server should hear: the parts of a SynchronizeRequest that change.
struct Snapshot {
  uint64_t stream = 0;            // on which `applied_sequence` counts
  uint64_t applied_sequence = 0;  // 0: none
  bool leaving = false;
  std::vector<AttemptStatus> attempts;  // by key
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

// How a runner's process ended.
struct ProcessExit {
  int code = 0;    // exit status, when it was not a signal
  int signal = 0;  // 0: none
  std::string stderr_tail;
  bool out_of_memory = false;  // the system's OOM killer was at work meanwhile
};

}  // namespace trainyard::agent
