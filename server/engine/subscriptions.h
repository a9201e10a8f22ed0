// Who is told what: sessions of workers and watchers of revisions.
//
//   const uint64_t id = subscriptions.AddWorker(name, callback);
//   subscriptions.Deliver(cluster, changed_workers, jobs_changed);
//   subscriptions.Remove(id);
//
// Thread-safe; Deliver() is for one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/synchronization/mutex.h"
#include "server/core/cluster.h"
#include "server/core/types.h"

namespace trainyard::engine {

class Subscriptions {
 public:
  using DesiredCallback = std::function<void(const core::Desired&)>;
  using RevisionCallback = std::function<void(core::Revision)>;

  // Replaces the worker's earlier subscription. The first Deliver() after the
  // worker was heard calls it even if nothing changed.
  uint64_t AddWorker(const core::WorkerName& worker, DesiredCallback callback);
  uint64_t AddRevision(RevisionCallback callback);
  // Returns when the callback is not running and will not run; from within the
  // callback itself: at once. Unknown ids are ignored.
  void Remove(uint64_t id);

  void Deliver(const core::Cluster& cluster,
               const absl::btree_set<core::WorkerName>& changed,
               bool jobs_changed);

 private:
  struct Entry {
    core::WorkerName worker;  // empty: a watcher of revisions
    std::shared_ptr<const DesiredCallback> on_desired;
    std::shared_ptr<const RevisionCallback> on_revision;
  };

  std::vector<uint64_t> Affected(
      const absl::btree_set<core::WorkerName>& changed, bool jobs_changed);
  // Marks it as running; nullopt: removed meanwhile.
  std::optional<Entry> Begin(uint64_t id);
  void End();

  absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<core::WorkerName, uint64_t> by_worker_ ABSL_GUARDED_BY(mutex_);
  absl::btree_set<uint64_t> watchers_ ABSL_GUARDED_BY(mutex_);
  absl::btree_set<uint64_t> fresh_ ABSL_GUARDED_BY(mutex_);
  uint64_t running_ ABSL_GUARDED_BY(mutex_) = 0;    // 0: none
  std::thread::id thread_ ABSL_GUARDED_BY(mutex_);  // that delivers
};

}  // namespace trainyard::engine
