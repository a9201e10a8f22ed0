// The port to what attempts reported: log lines and metric points, in the order
// of their arrival. server/adapters/sqlite_points implements it. Payloads are
// opaque here; server/rpc writes and reads them.
//
//   RETURN_IF_ERROR(points->Append(entries));
//   ASSIGN_OR_RETURN(Page page, points->Read({.job = 7, .kind = Kind::kLine}));
//
// Implementations are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/telemetry/readings.h"

namespace trainyard::telemetry {

// (job, attempt), as core::AttemptKey has it; this floor does not know core.
struct AttemptId {
  uint64_t job = 0;
  uint32_t attempt = 0;
  friend bool operator==(const AttemptId&, const AttemptId&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const AttemptId& id) {
    return H::combine(std::move(h), id.job, id.attempt);
  }
};

// Values are stored: never renumber.
enum class Kind : uint8_t { kLine = 1, kPoint = 2 };

// How far an attempt is, as one metric point tells it. Figures a point has not
// are taken from the one before.
struct Progress {
  uint64_t step = 0;
  uint64_t total_steps = 0;
  uint32_t epoch = 0;
  std::optional<double> samples_per_second;
  std::optional<double> loss;
};

// One line or point on its way in.
struct Entry {
  AttemptId attempt;
  uint64_t sequence = 0;  // per attempt, from 1, over lines and points together
  Kind kind = Kind::kLine;
  std::string payload;
  std::optional<Progress> progress;  // with Kind::kPoint
  // With Kind::kPoint, where someone wants it for series.
  std::shared_ptr<PointReading> reading = nullptr;
};

// One line or point on its way out.
struct StoredEntry {
  uint64_t position = 0;  // per job and kind, from 1, in order of arrival
  uint32_t attempt = 0;
  std::string payload;
};

struct ReadRequest {
  uint64_t job = 0;
  Kind kind = Kind::kLine;
  uint64_t after = 0;    // positions above this one
  uint32_t attempt = 0;  // 0: all
  size_t limit = 1000;
  size_t max_bytes = 1 << 20;  // of payload; at least one entry is returned
};

struct Page {
  std::vector<StoredEntry> entries;
  uint64_t next = 0;  // `after` of the next page
  bool gap = false;   // entries above `after` had been dropped
  bool last = true;   // nothing was left beyond this page
};

class PointStore {
 public:
  virtual ~PointStore() = default;
  // All or none. An entry whose sequence is not above the newest stored one of
  // its attempt is ignored. RESOURCE_EXHAUSTED: disk full.
  virtual absl::Status Append(absl::Span<const Entry> entries) = 0;
  virtual absl::StatusOr<Page> Read(const ReadRequest& request) = 0;
  // `after` for a page that holds the last `count` entries.
  virtual absl::StatusOr<uint64_t> Tail(uint64_t job, Kind kind,
                                        uint32_t attempt, uint64_t count) = 0;
};

}  // namespace trainyard::telemetry
