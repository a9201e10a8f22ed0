// Tells watchers which jobs changed: one read of the store per change for all
// of them, so that thousands may each follow a job of their own.
//
//   JobFeed feed(&engine, &jobs);
//   const uint64_t id = feed.Watch({7}, [] { … });   // {}: any job
//   feed.Unwatch(id);
//
// Thread-safe. Callbacks run on the feed's thread: short, and not into Watch,
// Unwatch or Stop.
#pragma once

#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "server/core/types.h"
#include "server/engine/engine.h"
#include "server/engine/store.h"

namespace trainyard::rpc {

class JobFeed {
 public:
  // The engine must have started and must outlive the feed.
  JobFeed(engine::Engine* engine, engine::JobReader* jobs);
  ~JobFeed();  // stops
  JobFeed(const JobFeed&) = delete;
  JobFeed& operator=(const JobFeed&) = delete;

  // `wake` is called after each commit that changed one of the jobs, perhaps
  // once for several commits. What was committed before Watch returned is not
  // told of: read it.
  uint64_t Watch(std::vector<core::JobId> jobs, std::function<void()> wake);
  // Returns when the callback is not running and will not run.
  void Unwatch(uint64_t watch);
  void Stop();

 private:
  struct Watcher {
    std::vector<core::JobId> jobs;
    std::function<void()> wake;
  };

  void Run();
  bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || newest_ > seen_;
  }
  void Tell(core::Revision from, core::Revision to);
  bool AnyByJob();
  void WakeAll(bool with_jobs);
  void WakeJobs(const std::vector<engine::StoredJob>& changed);

  engine::Engine* const engine_;
  engine::JobReader* const jobs_;
  uint64_t subscription_ = 0;

  absl::Mutex mutex_;
  core::Revision newest_ ABSL_GUARDED_BY(mutex_) = 0;
  core::Revision seen_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  // Held while callbacks run.
  absl::Mutex watchers_mutex_;
  uint64_t last_watch_ ABSL_GUARDED_BY(watchers_mutex_) = 0;
  absl::flat_hash_map<uint64_t, Watcher> watchers_
      ABSL_GUARDED_BY(watchers_mutex_);
  absl::flat_hash_set<uint64_t> of_any_ ABSL_GUARDED_BY(watchers_mutex_);
  absl::flat_hash_map<core::JobId, absl::flat_hash_set<uint64_t>> by_job_
      ABSL_GUARDED_BY(watchers_mutex_);

  absl::Mutex stop_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(stop_mutex_);
};

}  // namespace trainyard::rpc
