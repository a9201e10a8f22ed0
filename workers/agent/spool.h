// Telemetry on its way: points and lines of all attempts, kept until the server
// has acknowledged them; first in memory, then on disk, and when that bound is
// reached too the oldest points go first, then the oldest lines, and the log
// says how many.
//
//   spool.AddLine(key, line);  spool.AddPoint(key, point);
//   while (spool.WaitForRecords(timeout)) Send(spool.Take(1000, 512 * 1024));
//   spool.Acknowledge(key, sequence);      // or spool.Rewind() on a new stream
//
// Records are numbered when they are first taken: what was dropped before
// leaves no gap. Thread-safe; files are written under the lock, but never
// flushed to the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "trainyard/v1/telemetry.pb.h"
#include "trainyard/v1/worker_service.pb.h"
#include "workers/agent/record_queue.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

struct SpoolOptions {
  std::string folder;                      // must exist; may hold old files
  size_t memory_bytes = 1024 * 1024;       // of each attempt, not yet sent
  uint64_t disk_bytes = 64 * 1024 * 1024;  // of each attempt
  size_t max_unacknowledged = 4096;        // records of each attempt
  size_t max_unacknowledged_bytes = 2 * 1024 * 1024;
  // How long to go on after an attempt was released.
  absl::Duration linger = absl::Minutes(10);
};

class Spool {
 public:
  Spool(SpoolOptions options, Clock* clock);

  void AddPoint(const AttemptKey& key, v1::MetricPoint point);
  void AddLine(const AttemptKey& key, v1::LogLine line);

  // True: there is something to Take. False: time is over, or Wake was called.
  bool WaitForRecords(absl::Duration timeout);
  void Wake();
  // Next records to send, at least one if there is any.
  std::vector<v1::TelemetryRecord> Take(size_t max_records, size_t max_bytes);
  // All that is not acknowledged will be taken again.
  void Rewind();
  void Acknowledge(const AttemptKey& key, uint64_t sequence);

  // Calls `done` once all records so far are acknowledged; at once if they are.
  // On the caller's thread or the acknowledging one.
  void WhenAcknowledged(const AttemptKey& key, std::function<void()> done);
  // No more is added for the attempt; it is forgotten when the rest is
  // acknowledged, or after options.linger.
  void Release(const AttemptKey& key);

  // Records not acknowledged, of all attempts.
  size_t pending() const;

 private:
  struct Attempt {
    Attempt(const std::string& folder, const SpoolOptions& options);
    bool HasQueued() const { return !points.empty() || !lines.empty(); }

    RecordQueue points;
    RecordQueue lines;
    size_t queued = 0;
    uint64_t next_order = 1;
    uint64_t dropped_points = 0;  // not yet said
    uint64_t dropped_lines = 0;
    std::deque<v1::TelemetryRecord> sent;  // numbered, not acknowledged
    size_t sent_bytes = 0;
    size_t resend_from = 0;  // those in `sent` from here on go out (again)
    uint64_t next_sequence = 1;
    std::vector<std::function<void()>> waiters;
    absl::Time release_at = absl::InfiniteFuture();
  };

  Attempt& Get(const AttemptKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Bound(Attempt& attempt) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CanTake() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool CanTake(const Attempt& attempt) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  const v1::TelemetryRecord& TakeOne(const AttemptKey& key, Attempt& attempt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NumberNext(const AttemptKey& key, Attempt& attempt)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ForgetReleased() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SpoolOptions options_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  std::map<AttemptKey, std::unique_ptr<Attempt>> attempts_
      ABSL_GUARDED_BY(mutex_);
  AttemptKey last_taken_ ABSL_GUARDED_BY(mutex_);
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace trainyard::agent
