#include "server/core/fleet.h"

#include <algorithm>

namespace trainyard::core {
namespace {

uint32_t Load(const Worker& worker) {
  if (worker.devices.empty()) return 0;
  return static_cast<uint32_t>(worker.holders.size() * 1000 /
                               worker.devices.size());
}

bool HasIdleOf(const Worker& worker, DeviceKind kind) {
  return std::any_of(worker.devices.begin(), worker.devices.end(),
                     [&](const Device& device) {
                       return device.kind == kind && worker.IsIdle(device);
                     });
}

}  // namespace

bool Worker::IsFenced(const std::string& candidate) const {
  return std::find(fenced.begin(), fenced.end(), candidate) != fenced.end();
}

const Worker* Fleet::Find(const WorkerName& name) const {
  const auto it = workers_.find(name);
  return it == workers_.end() ? nullptr : &it->second;
}

const Fleet::IdleIndex& Fleet::idle(DeviceKind kind) const {
  const size_t index = static_cast<size_t>(kind);
  return idle_[index < idle_.size() ? index : 0];  // 0 is no kind: empty
}

bool Fleet::HasIdle() const {
  return std::any_of(idle_.begin(), idle_.end(),
                     [](const IdleIndex& index) { return !index.empty(); });
}

void Fleet::Report(const WorkerReport& report, absl::Time now) {
  Worker& worker = FindOrMake(report.worker, now);
  Unindex(worker);
  if (worker.instance != report.instance && !worker.instance.empty()) {
    worker.fenced.push_back(worker.instance);
    if (worker.fenced.size() > kMaxFenced) {
      worker.fenced.erase(worker.fenced.begin());
    }
  }
  SetState(worker, WorkerState::kOnline);
  worker.instance = report.instance;
  worker.version = report.version;
  worker.platform = report.platform;
  worker.devices = report.devices;
  worker.labels = report.labels;
  worker.leaving = report.leaving;
  worker.last_seen = now;
  Index(worker);
}

void Fleet::Disconnect(const WorkerName& name) {
  const Worker* worker = Find(name);
  if (worker == nullptr) return;
  const bool left = worker->leaving && worker->attempts.empty();
  Change(name, left ? WorkerState::kLeft : WorkerState::kSilent);
}

void Fleet::Lose(const WorkerName& name) {
  const auto it = workers_.find(name);
  if (it == workers_.end()) return;
  if (it->second.state != WorkerState::kLeft) {
    Change(name, WorkerState::kLost);
    ForgetOldLost();
  } else if (!it->second.draining) {
    Unindex(it->second);
    --counts_[static_cast<size_t>(WorkerState::kLeft)];
    workers_.erase(it);
  }
}

void Fleet::Change(const WorkerName& name, WorkerState state) {
  Worker& worker = workers_.at(name);
  Unindex(worker);
  SetState(worker, state);
  Index(worker);
}

void Fleet::SetDraining(const WorkerName& name, bool draining, absl::Time now) {
  const bool known = workers_.contains(name);
  Worker& worker = FindOrMake(name, now);
  Unindex(worker);
  // Restored, and it holds nothing: not a worker to worry about.
  if (!known) SetState(worker, WorkerState::kLeft);
  worker.draining = draining;
  Index(worker);
}

void Fleet::Hold(AttemptKey key, const LiveAttempt& attempt, absl::Time now) {
  Worker& worker = FindOrMake(attempt.worker, now);
  Unindex(worker);
  worker.attempts.insert(key);
  for (const std::string& device : attempt.devices) {
    worker.holders[device] = key;
  }
  Index(worker);
}

void Fleet::Release(AttemptKey key, const LiveAttempt& attempt) {
  const auto it = workers_.find(attempt.worker);
  if (it == workers_.end()) return;
  Worker& worker = it->second;
  Unindex(worker);
  worker.attempts.erase(key);
  for (const std::string& device : attempt.devices) {
    const auto holder = worker.holders.find(device);
    if (holder != worker.holders.end() && holder->second == key) {
      worker.holders.erase(holder);
    }
  }
  Index(worker);
}

Worker& Fleet::FindOrMake(const WorkerName& name, absl::Time now) {
  const auto [it, inserted] = workers_.try_emplace(name);
  Worker& worker = it->second;
  if (inserted) {
    worker.name = name;
    worker.last_seen = now;
    ++counts_[static_cast<size_t>(worker.state)];
  }
  return worker;
}

void Fleet::SetState(Worker& worker, WorkerState state) {
  if (worker.state == WorkerState::kLost) {
    lost_.erase({worker.last_seen, worker.name});
  }
  --counts_[static_cast<size_t>(worker.state)];
  worker.state = state;
  ++counts_[static_cast<size_t>(state)];
  if (state == WorkerState::kLost) {
    lost_.insert({worker.last_seen, worker.name});
  }
}

void Fleet::Unindex(const Worker& worker) {
  Count(worker, -1);
  const uint32_t load = Load(worker);
  for (DeviceKind kind : kDeviceKinds) {
    idle_[static_cast<size_t>(kind)].erase({load, worker.name});
  }
}

void Fleet::Index(const Worker& worker) {
  Count(worker, 1);
  if (!worker.IsOpen()) return;
  const uint32_t load = Load(worker);
  for (DeviceKind kind : kDeviceKinds) {
    if (HasIdleOf(worker, kind)) {
      idle_[static_cast<size_t>(kind)].insert({load, worker.name});
    }
  }
}

void Fleet::Count(const Worker& worker, int sign) {
  if (worker.state == WorkerState::kLost ||
      worker.state == WorkerState::kLeft) {
    return;
  }
  for (const Device& device : worker.devices) {
    const size_t kind = static_cast<size_t>(device.kind);
    if (kind < capacity_.size()) capacity_[kind] += sign;
  }
}

void Fleet::ForgetOldLost() {
  for (auto it = lost_.begin(); lost_.size() > kMaxLost && it != lost_.end();) {
    const Worker& worker = workers_.at(it->second);
    if (worker.draining || !worker.attempts.empty()) {
      ++it;
      continue;
    }
    --counts_[static_cast<size_t>(WorkerState::kLost)];
    workers_.erase(it->second);
    it = lost_.erase(it);
  }
}

}  // namespace trainyard::core
