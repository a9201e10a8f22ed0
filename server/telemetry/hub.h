// The way of telemetry into the server: reports of many workers wait in a
// bounded queue; one thread stores all that wait at once, remembers the newest
// progress of each job, wakes those who follow a job, then answers.
//
//   Hub hub(HubOptions(), &points);
//   hub.Ingest(std::move(entries), [](const absl::Status& status) { … });
//   const uint64_t id = hub.Subscribe(job, [] { … });
//   hub.Stop();
//
// Thread-safe. Callbacks run on the hub's thread: short, and not into Stop,
// Subscribe or Unsubscribe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/telemetry/points.h"

namespace trainyard::telemetry {

struct HubOptions {
  size_t queue_bytes =
      64 << 20;  // waiting to be stored; more: RESOURCE_EXHAUSTED
  size_t batch_entries = 8192;   // stored at once
  size_t progress_jobs = 65536;  // newest progress is kept for so many jobs
};

class Hub {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&)>;
  // Called with each stored entry that has a reading.
  using Observer = std::function<void(const Entry&)>;

  Hub(HubOptions options, PointStore* points, Observer observer = nullptr);
  ~Hub();  // stops
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // `done` is called exactly once, when the entries are stored or refused:
  // RESOURCE_EXHAUSTED when the queue or the disk is full, UNAVAILABLE once
  // stopped.
  void Ingest(std::vector<Entry> entries, Done done);

  // `wake` is called after entries of the job were stored. Unsubscribe returns
  // when it is not running and will not run.
  uint64_t Subscribe(uint64_t job, std::function<void()> wake);
  void Unsubscribe(uint64_t subscription);

  // Newest progress heard of since the server started, or recalled; none:
  // nullopt.
  std::optional<Progress> Latest(uint64_t job) const;
  // Progress that was stored before the server started; what was heard since
  // stands.
  void Recall(uint64_t job, const Progress& progress);

  // Stores what waits, then ends the thread. Idempotent.
  void Stop();

 private:
  struct Report {
    std::vector<Entry> entries;
    size_t bytes = 0;
    Done done;
  };
  struct Subscriber {
    uint64_t job;
    std::function<void()> wake;
  };
  struct Newest {
    Progress progress;
    std::list<uint64_t>::iterator age;
  };

  void Run();
  bool Takeable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queue_.empty();
  }
  std::vector<Report> TakeReports() ABSL_LOCKS_EXCLUDED(mutex_);
  void Store(std::vector<Report> reports);
  void Remember(uint64_t job, const Progress& progress)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake(const std::vector<uint64_t>& jobs);

  const HubOptions options_;
  PointStore* const points_;
  const Observer observer_;

  mutable absl::Mutex mutex_;
  std::deque<Report> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::flat_hash_map<uint64_t, Newest> newest_ ABSL_GUARDED_BY(mutex_);
  std::list<uint64_t> ages_
      ABSL_GUARDED_BY(mutex_);  // jobs of newest_, oldest news first

  // Held while callbacks of subscribers run.
  absl::Mutex subscribers_mutex_;
  uint64_t last_subscription_ ABSL_GUARDED_BY(subscribers_mutex_) = 0;
  absl::flat_hash_map<uint64_t, Subscriber> subscribers_
      ABSL_GUARDED_BY(subscribers_mutex_);
  absl::flat_hash_map<uint64_t, std::vector<uint64_t>> by_job_
      ABSL_GUARDED_BY(subscribers_mutex_);

  absl::Mutex stop_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(stop_mutex_);
};

}  // namespace trainyard::telemetry
