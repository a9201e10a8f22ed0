// From a view of the cluster and the newest readings to samples: which series
// there are and what they say. Pure.
//
//   SampleQueue(view, add);
//   SampleWorkers(view, fleet.All(), add);
//   SampleJobs(view, jobs.Keep(…), 1000, add);
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/telemetry/fleet_readings.h"
#include "server/telemetry/job_readings.h"
#include "server/telemetry/metric_table.h"

namespace trainyard::telemetry {

// What the series need to know of the cluster; this floor does not know core.
struct DeviceView {
  std::string id;
  const char* kind = "";  // "cpu", "cuda", "mps"
  std::string model;
  uint64_t memory_bytes = 0;  // 0: not known
  uint64_t free_memory_bytes = 0;
  bool busy = false;
};

struct WorkerView {
  std::string name;
  bool online = false;
  bool draining = false;
  absl::Time last_seen;
  size_t attempts = 0;
  std::vector<DeviceView> devices;
};

struct RunView {
  uint32_t attempt = 0;
  std::string worker;
};

struct WantedView {
  const char* kind = "";
  uint64_t devices = 0;
};

struct ClusterView {
  std::vector<WorkerView> workers;              // online and silent
  absl::flat_hash_map<uint64_t, RunView> runs;  // by job, those RUNNING
  absl::Duration oldest_wait = absl::ZeroDuration();
  std::vector<WantedView> wanted;  // every kind
};

struct Label {
  const char* name;
  absl::string_view value;
};

using AddSample =
    absl::FunctionRef<void(Metric, absl::Span<const Label>, double)>;

inline constexpr size_t kMaxJobSeries = 1000;
inline constexpr size_t kMaxJobNameBytes = 64;

void SampleQueue(const ClusterView& view, AddSample add);
// Readings of workers that are not online are old, and left out.
void SampleWorkers(const ClusterView& view,
                   const FleetReadings::ByWorker& readings, AddSample add);
// The `limit` oldest jobs of `jobs`, all of which are in view.runs.
void SampleJobs(const ClusterView& view,
                const std::map<uint64_t, JobReading>& jobs, size_t limit,
                AddSample add);

}  // namespace trainyard::telemetry
