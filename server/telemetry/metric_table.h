// Every metric that the server exposes, in one table: the code registers series
// from it, `trainyard-server --describe-metrics` prints it as docs/metrics.md.
//
//   const MetricInfo& info = Describe(Metric::kJobsSubmitted);
//   std::fputs(MetricsPage().c_str(), stdout);
//
// Pure.
#pragma once

#include <cstddef>
#include <string>

#include "absl/types/span.h"

namespace trainyard::telemetry {

// In the order of the page; the rows are in metric_table.cc.
enum class Metric : size_t {
  // The server itself.
  kBuildInfo,
  kStartTime,
  kDiskFree,
  kDiskSize,
  kCommitSeconds,
  kCommitCommands,
  kCommitRecords,
  kCommitFailures,
  kInboxCommands,
  kRpcs,
  kRpcSeconds,
  kStreams,
  kTelemetryLines,
  kTelemetryPoints,
  // Queue and jobs.
  kJobs,
  kOldestWait,
  kWantedDevices,
  kJobsSubmitted,
  kQueueWait,
  kJobsEnded,
  kRunSeconds,
  kAttemptsEnded,
  // Workers.
  kWorkers,
  kWorkersLost,
  kWorkerUp,
  kWorkerDraining,
  kWorkerLastSeen,
  kWorkerAttempts,
  kWorkerDiskFree,
  kWorkerDiskSize,
  // Devices.
  kDeviceInfo,
  kDeviceBusy,
  kDeviceUtilization,
  kDeviceMemory,
  kDeviceMemoryFree,
  kDeviceTemperature,
  kDevicePower,
  // Running jobs.
  kJobSeriesOmitted,
  kJobStep,
  kJobSteps,
  kJobEpoch,
  kJobLoss,
  kJobLearningRate,
  kJobSamplesPerSecond,
  kJobDataWait,
  kJobCompute,
  kJobEta,
  kJobResidentMemory,
  kJobValidationLoss,
  kJobValidationAccuracy,
  kJobLastProgress,
  kJobDeviceUtilization,
  kJobDeviceMemory,
  kJobDeviceTemperature,
  kJobDevicePower,
  kCount
};

inline constexpr size_t kMetrics = static_cast<size_t>(Metric::kCount);

enum class MetricType { kCounter, kGauge, kHistogram };

struct MetricInfo {
  Metric metric;
  const char* name;
  MetricType type;
  const char* unit;    // "1": a number without one
  const char* labels;  // "method, code"; empty: none
  const char* help;    // one sentence, also the HELP line
};

const MetricInfo& Describe(Metric metric);
absl::Span<const MetricInfo> AllMetrics();

// docs/metrics.md.
std::string MetricsPage();

}  // namespace trainyard::telemetry
