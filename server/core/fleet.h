// The workers, and which of them have idle devices. Attempts hold devices by
// id, whether or not the worker reports the device at the moment.
//
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/time/time.h"
#include "server/core/job.h"
#include "server/core/types.h"

namespace trainyard::core {

enum class WorkerState : uint8_t {
  kOnline = 1,  // its stream is open
  kSilent = 2,  // it is not; its attempts are held for it until the lease ends
  kLost = 3,    // the lease ended; its attempts were given up
  kLeft = 4,    // it said that it leaves, held nothing more, and went
};

struct Worker {
  WorkerName name;
  std::string instance;  // empty: not heard of since the server started
  std::string version;
  std::string platform;
  std::vector<Device> devices;
  Labels labels;
  WorkerState state = WorkerState::kSilent;
  bool draining = false;
  bool leaving = false;
  absl::Time last_seen;
  absl::btree_set<AttemptKey> attempts;              // live ones placed here
  absl::btree_map<std::string, AttemptKey> holders;  // by device id
  std::vector<std::string> fenced;  // earlier instances, newest last

  bool IsIdle(const Device& device) const {
    return !holders.contains(device.id);
  }
  // Whether it may get new attempts.
  bool IsOpen() const {
    return state == WorkerState::kOnline && !draining && !leaving;
  }
  // Whether that process was replaced by a newer one of the same name.
  bool IsFenced(const std::string& instance) const;
};

class Fleet {
 public:
  // Lost workers still listed; beyond, the longest unheard are forgotten.
  static constexpr size_t kMaxLost = 1024;
  // Earlier instances of a worker that are refused.
  static constexpr size_t kMaxFenced = 8;

  // Open workers with at least one idle device of a kind, least loaded first.
  // The number is the share of its devices in use, in thousandths.
  using IdleIndex = absl::btree_set<std::pair<uint32_t, WorkerName>>;

  const std::map<WorkerName, Worker>& workers() const { return workers_; }
  const Worker* Find(const WorkerName& name) const;
  const IdleIndex& idle(DeviceKind kind) const;
  bool HasIdle() const;
  // Devices by DeviceKind, of the workers that are neither lost nor left.
  const DeviceCounts& capacity() const { return capacity_; }
  size_t Count(WorkerState state) const {
    return counts_[static_cast<size_t>(state)];
  }

  // Each keeps the index in step. Unknown workers are made, silent, at `now`.
  void Report(const WorkerReport& report, absl::Time now);
  // SILENT; LEFT where it said that it leaves and holds nothing.
  void Disconnect(const WorkerName& name);
  // LOST; one that has left is forgotten, unless it is drained.
  void Lose(const WorkerName& name);
  // An unknown one is made LEFT: it is restored, and may be gone for good.
  void SetDraining(const WorkerName& name, bool draining, absl::Time now);
  void Hold(AttemptKey key, const LiveAttempt& attempt, absl::Time now);
  void Release(AttemptKey key, const LiveAttempt& attempt);

 private:
  Worker& FindOrMake(const WorkerName& name, absl::Time now);
  void Change(const WorkerName& name, WorkerState state);
  void SetState(Worker& worker, WorkerState state);
  // A change of a worker happens between the two.
  void Unindex(const Worker& worker);
  void Index(const Worker& worker);
  // Adds the worker's devices to capacity(), or takes them out of it.
  void Count(const Worker& worker, int sign);
  void ForgetOldLost();

  std::map<WorkerName, Worker> workers_;
  std::array<IdleIndex, 4> idle_;  // by DeviceKind
  DeviceCounts capacity_ = {};
  std::array<size_t, 5> counts_ = {};                        // by WorkerState
  absl::btree_set<std::pair<absl::Time, WorkerName>> lost_;  // by last_seen
};

}  // namespace trainyard::core
