#include "server/engine/subscriptions.h"

#include <utility>
#include <vector>

#include "server/core/desired.h"

namespace trainyard::engine {
namespace {

// After a restart nothing is known of a worker's process until it reports; to
// tell it to be nothing would end what it runs.
bool WasHeard(const core::Cluster& cluster, const core::WorkerName& name) {
  const core::Worker* worker = cluster.FindWorker(name);
  return worker != nullptr && !worker->instance.empty();
}

}  // namespace

uint64_t Subscriptions::AddWorker(const core::WorkerName& worker,
                                  DesiredCallback callback) {
  absl::MutexLock lock(&mutex_);
  const uint64_t id = next_id_++;
  if (const auto it = by_worker_.find(worker); it != by_worker_.end()) {
    entries_.erase(it->second);
    fresh_.erase(it->second);
  }
  by_worker_[worker] = id;
  entries_[id] = {worker,
                  std::make_shared<const DesiredCallback>(std::move(callback)),
                  nullptr};
  fresh_.insert(id);
  return id;
}

uint64_t Subscriptions::AddRevision(RevisionCallback callback) {
  absl::MutexLock lock(&mutex_);
  const uint64_t id = next_id_++;
  entries_[id] = {
      core::WorkerName(), nullptr,
      std::make_shared<const RevisionCallback>(std::move(callback))};
  watchers_.insert(id);
  return id;
}

void Subscriptions::Remove(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  if (const auto it = entries_.find(id); it != entries_.end()) {
    const auto by_worker = by_worker_.find(it->second.worker);
    if (by_worker != by_worker_.end() && by_worker->second == id) {
      by_worker_.erase(by_worker);
    }
    watchers_.erase(id);
    fresh_.erase(id);
    entries_.erase(it);
  }
  // A replaced subscription may still be running, too.
  if (running_ != id || thread_ == std::this_thread::get_id()) return;
  const auto done = [this, id]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return running_ != id;
  };
  mutex_.Await(absl::Condition(&done));
}

void Subscriptions::Deliver(const core::Cluster& cluster,
                            const absl::btree_set<core::WorkerName>& changed,
                            bool jobs_changed) {
  for (const uint64_t id : Affected(changed, jobs_changed)) {
    const std::optional<Entry> entry = Begin(id);
    if (!entry.has_value()) continue;
    if (entry->on_desired != nullptr && !WasHeard(cluster, entry->worker)) {
      absl::MutexLock lock(&mutex_);
      if (entries_.contains(id)) fresh_.insert(id);
    } else if (entry->on_desired != nullptr) {
      (*entry->on_desired)(core::DeriveDesired(cluster, entry->worker));
    } else {
      (*entry->on_revision)(cluster.revision());
    }
    End();
  }
}

std::vector<uint64_t> Subscriptions::Affected(
    const absl::btree_set<core::WorkerName>& changed, bool jobs_changed) {
  absl::MutexLock lock(&mutex_);
  std::vector<uint64_t> ids(fresh_.begin(), fresh_.end());
  for (const core::WorkerName& worker : changed) {
    const auto it = by_worker_.find(worker);
    if (it != by_worker_.end() && !fresh_.contains(it->second)) {
      ids.push_back(it->second);
    }
  }
  fresh_.clear();
  if (jobs_changed) ids.insert(ids.end(), watchers_.begin(), watchers_.end());
  return ids;
}

std::optional<Subscriptions::Entry> Subscriptions::Begin(uint64_t id) {
  absl::MutexLock lock(&mutex_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) return std::nullopt;
  running_ = id;
  thread_ = std::this_thread::get_id();
  return it->second;
}

void Subscriptions::End() {
  absl::MutexLock lock(&mutex_);
  running_ = 0;
}

}  // namespace trainyard::engine
