// A PointStore in memory, for tests.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "server/telemetry/points.h"

namespace trainyard::telemetry {

// Thread-safe.
class FakePoints : public PointStore {
 public:
  absl::Status Append(absl::Span<const Entry> entries) override {
    absl::MutexLock lock(&mutex_);
    if (!error_.ok()) return error_;
    for (const Entry& entry : entries) {
      uint64_t& last = sequences_[entry.attempt];
      if (entry.sequence <= last) continue;
      last = entry.sequence;
      auto& stream = streams_[{entry.attempt.job, entry.kind}];
      stream.push_back(
          {stream.size() + 1, entry.attempt.attempt, entry.payload});
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Page> Read(const ReadRequest& request) override {
    absl::MutexLock lock(&mutex_);
    Page page;
    page.next = request.after;
    for (const StoredEntry& entry : streams_[{request.job, request.kind}]) {
      if (entry.position <= request.after) continue;
      if (page.entries.size() == request.limit) {
        page.last = false;
        return page;
      }
      page.next = entry.position;
      if (request.attempt == 0 || request.attempt == entry.attempt)
        page.entries.push_back(entry);
    }
    return page;
  }

  absl::StatusOr<uint64_t> Tail(uint64_t job, Kind kind, uint32_t,
                                uint64_t count) override {
    absl::MutexLock lock(&mutex_);
    const uint64_t size = streams_[{job, kind}].size();
    return size > count ? size - count : 0;
  }

  // Every Append from now on fails with this; OK: none.
  void FailWith(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    error_ = std::move(error);
  }

 private:
  absl::Mutex mutex_;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<AttemptId, uint64_t> sequences_ ABSL_GUARDED_BY(mutex_);
  std::map<std::pair<uint64_t, Kind>, std::vector<StoredEntry>> streams_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::telemetry
