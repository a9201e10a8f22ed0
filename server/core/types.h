// The scheduler's vocabulary: plain values, no behaviour. The wire's forms of
// the same ideas are in proto/; server/rpc/convert maps between the two.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"

namespace trainyard::core {

struct JobIdTag {};
struct WorkerNameTag {};
struct QueueNameTag {};
struct UserNameTag {};
// The N of "jobs/N"; given in order of acceptance, from 1, never reused.
using JobId = NumberId<JobIdTag>;
// The NAME of "workers/NAME".
using WorkerName = NameId<WorkerNameTag>;
// The NAME of "queues/NAME".
using QueueName = NameId<QueueNameTag>;
// Whom a job counts for; empty where nobody was named.
using UserName = NameId<UserNameTag>;
// Grows by one with every durable record; unique per durable record.
using Revision = uint64_t;

// One try at a job. It fences every message: news of another attempt than the
// job's current one is dropped.
struct AttemptKey {
  JobId job;
  uint32_t attempt = 0;  // from 1

  friend auto operator<=>(const AttemptKey&, const AttemptKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const AttemptKey& key) {
    return H::combine(std::move(h), key.job, key.attempt);
  }
};

// Values are stored: never renumber.
enum class DeviceKind : uint8_t { kCpu = 1, kCuda = 2, kMps = 3 };
inline constexpr DeviceKind kDeviceKinds[] = {
    DeviceKind::kCpu, DeviceKind::kCuda, DeviceKind::kMps};
// By DeviceKind; 0 is no kind.
template <typename T>
using ByDeviceKind = std::array<T, 4>;
using DeviceCounts = ByDeviceKind<uint32_t>;

// Legal moves: lifecycle.h. Values are stored: never renumber.
enum class JobState : uint8_t {
  kQueued = 1,
  kStarting = 2,
  kRunning = 3,
  kSucceeded = 4,
  kFailed = 5,
  kCancelled = 6,
};

// How an attempt ended. Values are stored: never renumber.
enum class Outcome : uint8_t {
  kNone = 0,
  kSucceeded = 1,
  kFailed = 2,
  kLost = 3,
  kCancelled = 4,
  kPreempted = 5,
};

// Values are stored: never renumber.
enum class FailureCategory : uint8_t {
  kUnknown = 0,
  kUserError = 1,
  kOutOfMemory = 2,
  kCrash = 3,
  kInfrastructure = 4,
  kTimeLimit = 5,
};

struct Failure {
  FailureCategory category = FailureCategory::kUnknown;
  std::string message;
  std::string stderr_tail;
  int32_t exit_code = 0;  // or minus the signal
  friend bool operator==(const Failure&, const Failure&) = default;
};

struct Checkpoint {
  uint64_t step = 0;
  std::string artifact;  // "sha256:…"
  uint64_t size_bytes = 0;
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

// That an attempt is asked to make room for another job.
struct Preemption {
  JobId by;
  std::string reason;  // "priority 10 over 0"
  // A worker that has not stopped it by then is told to cancel it.
  absl::Time stop_by;
  friend bool operator==(const Preemption&, const Preemption&) = default;
};

struct Output {
  std::string name;
  std::string artifact;  // "sha256:…"
  uint64_t size_bytes = 0;
  friend bool operator==(const Output&, const Output&) = default;
};

// One acceptable kind of device.
struct DeviceRequest {
  DeviceKind kind = DeviceKind::kCpu;
  uint32_t count = 1;
  uint64_t min_memory_bytes = 0;
  friend bool operator==(const DeviceRequest&, const DeviceRequest&) = default;
};

using Labels = std::map<std::string, std::string>;

// There from the start, and always.
inline constexpr char kDefaultQueue[] = "default";

// Values are stored: never renumber.
enum class QueueState : uint8_t {
  kOpen = 1,
  kDraining = 2,  // takes no more jobs; those that wait are placed
  kClosed = 3,    // takes no more jobs and places none
};

// The most that a queue may have at a time; what is not set has no limit.
struct Quota {
  std::map<DeviceKind, uint32_t> devices = {};  // held by its attempts
  std::optional<uint32_t> running_jobs = {};    // STARTING and RUNNING
  // Devices times hours since the last reset; at the limit no more is placed,
  // what runs goes on.
  std::optional<double> device_hours = {};
  friend bool operator==(const Quota&, const Quota&) = default;
};

// How a queue is set up.
struct QueueSettings {
  double weight = 1;  // its part of the fleet, against other queues'; above 0
  QueueState state = QueueState::kOpen;
  UserName owner = {};  // whom to ask; empty: nobody named
  Quota quota = {};
  friend bool operator==(const QueueSettings&, const QueueSettings&) = default;
};

// What the scheduler needs to know of a job; the spec itself stays in the
// store.
struct SchedulingSpec {
  QueueName queue{kDefaultQueue};
  UserName user;
  int32_t priority = 0;
  std::vector<DeviceRequest> devices;  // best first, never empty
  Labels worker_labels;
  uint32_t max_retries = 2;
  absl::Duration backoff = absl::Seconds(1);
  absl::Duration run_time_limit = absl::InfiniteDuration();
  absl::Duration queue_time_limit = absl::InfiniteDuration();
  friend bool operator==(const SchedulingSpec&,
                         const SchedulingSpec&) = default;
};

struct Device {
  std::string id;  // unique on its worker
  DeviceKind kind = DeviceKind::kCpu;
  std::string model;
  uint64_t memory_bytes = 0;
  uint64_t free_memory_bytes = 0;
  uint32_t cores = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

// Where an attempt is, as its worker tells it.
enum class Phase : uint8_t {
  kPreparing = 1,
  kRunning = 2,
  kStopping = 3,
  kEnded = 4
};

struct AttemptStatus {
  AttemptKey key;
  Phase phase = Phase::kPreparing;
  Outcome outcome = Outcome::kNone;  // with kEnded
  std::optional<Failure> failure;    // with Outcome::kFailed
  std::optional<Checkpoint> checkpoint;
  std::vector<Output> outputs;  // with Outcome::kSucceeded
  friend bool operator==(const AttemptStatus&, const AttemptStatus&) = default;
};

// What a worker says it is.
struct WorkerReport {
  WorkerName worker;
  std::string instance;  // random per process start
  std::string version;
  std::string platform;
  std::vector<Device> devices;
  Labels labels;
  bool leaving = false;
  std::vector<AttemptStatus> attempts;
  // Revision of the newest Desired that the worker has acted on; an attempt
  // placed by then and not reported is gone. 0: none on this stream.
  Revision applied_revision = 0;
};

enum class Action : uint8_t { kRun = 1, kPreempt = 2, kCancel = 3 };

struct DesiredAttempt {
  AttemptKey key;
  Action action = Action::kRun;
  std::vector<std::string> devices;
  std::optional<Checkpoint> checkpoint;
  friend bool operator==(const DesiredAttempt&,
                         const DesiredAttempt&) = default;
};

// What a worker should be.
struct Desired {
  Revision revision = 0;  // of the cluster it was derived from
  // The process it is meant for; to any other of that name it says nothing.
  std::string instance;
  std::vector<DesiredAttempt> attempts;
  bool draining = false;
};

}  // namespace trainyard::core
