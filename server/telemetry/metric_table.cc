#include "server/telemetry/metric_table.h"

#include <iterator>

#include "absl/strings/str_cat.h"

namespace trainyard::telemetry {
namespace {

constexpr MetricType kCounter = MetricType::kCounter;
constexpr MetricType kGauge = MetricType::kGauge;
constexpr MetricType kHistogram = MetricType::kHistogram;

constexpr char kPerWorker[] = "worker";
constexpr char kPerDevice[] = "worker, device, kind";
constexpr char kPerJob[] = "job_id, job_name, worker";
constexpr char kPerJobDevice[] = "job_id, job_name, worker, device";

constexpr MetricInfo kTable[] = {
    {Metric::kBuildInfo, "trainyard_build_info", kGauge, "1", "version",
     "Always 1; the version is a label."},
    {Metric::kStartTime, "trainyard_server_start_time_seconds", kGauge,
     "seconds", "", "When the server started, as Unix time."},
    {Metric::kDiskFree, "trainyard_server_disk_free_bytes", kGauge, "bytes", "",
     "Room left for the server in the file system of its state folder."},
    {Metric::kDiskSize, "trainyard_server_disk_size_bytes", kGauge, "bytes", "",
     "Size of the file system of the server's state folder."},
    {Metric::kCommitSeconds, "trainyard_commit_duration_seconds", kHistogram,
     "seconds", "", "Time to make a group of commands durable."},
    {Metric::kCommitCommands, "trainyard_commit_commands", kHistogram, "1", "",
     "Commands made durable by one commit."},
    {Metric::kCommitRecords, "trainyard_commit_records_total", kCounter, "1",
     "", "Records made durable."},
    {Metric::kCommitFailures, "trainyard_commit_failures_total", kCounter, "1",
     "", "Commits the store refused, such as with a full disk."},
    {Metric::kInboxCommands, "trainyard_engine_inbox_commands", kGauge, "1", "",
     "Commands waiting for the engine."},
    {Metric::kRpcs, "trainyard_rpcs_total", kCounter, "1", "method, code",
     "Calls that ended, by method and status code."},
    {Metric::kRpcSeconds, "trainyard_rpc_duration_seconds", kHistogram,
     "seconds", "method, code",
     "Time from the start of a unary call to its end, by method and status "
     "code."},
    {Metric::kStreams, "trainyard_streams", kGauge, "1", "method",
     "Open streams, by method."},
    {Metric::kTelemetryLines, "trainyard_telemetry_lines_total", kCounter, "1",
     "", "Log lines stored."},
    {Metric::kTelemetryPoints, "trainyard_telemetry_points_total", kCounter,
     "1", "", "Metric points stored."},

    {Metric::kJobs, "trainyard_jobs", kGauge, "1", "state",
     "Jobs that are not final, by state: queued, starting, running."},
    {Metric::kOldestWait, "trainyard_queue_oldest_wait_seconds", kGauge,
     "seconds", "",
     "How long the job has waited that has waited longest; 0: none waits. A "
     "job in the pause before a retry does not count."},
    {Metric::kWantedDevices, "trainyard_queue_wanted_devices", kGauge, "1",
     "kind",
     "Devices that the waiting jobs would take, by the first kind that each "
     "asks for."},
    {Metric::kJobsSubmitted, "trainyard_jobs_submitted_total", kCounter, "1",
     "", "Jobs accepted."},
    {Metric::kQueueWait, "trainyard_job_queue_wait_seconds", kHistogram,
     "seconds", "", "Time a job waited in the queue before it was placed."},
    {Metric::kJobsEnded, "trainyard_jobs_ended_total", kCounter, "1", "state",
     "Jobs that reached a final state, by that state: succeeded, failed, "
     "cancelled."},
    {Metric::kRunSeconds, "trainyard_job_run_duration_seconds", kHistogram,
     "seconds", "", "Time from a job's last start to its end."},
    {Metric::kAttemptsEnded, "trainyard_attempts_ended_total", kCounter, "1",
     "outcome",
     "Attempts that ended, by outcome: succeeded, failed, lost, cancelled, "
     "preempted."},

    {Metric::kWorkers, "trainyard_workers", kGauge, "1", "state",
     "Workers, by whether the server hears from them: online, silent."},
    {Metric::kWorkersLost, "trainyard_workers_lost_total", kCounter, "1", "",
     "Workers that were not heard from until their lease ended; those that "
     "said that they leave do not count."},
    {Metric::kWorkerUp, "trainyard_worker_up", kGauge, "1", kPerWorker,
     "1 while the server hears from the worker; 0 from then until its lease "
     "ends, when its series end."},
    {Metric::kWorkerDraining, "trainyard_worker_draining", kGauge, "1",
     kPerWorker, "1 while the worker gets no new attempts."},
    {Metric::kWorkerLastSeen, "trainyard_worker_last_seen_timestamp_seconds",
     kGauge, "seconds", kPerWorker,
     "When the worker was heard last, as Unix time of the server's clock."},
    {Metric::kWorkerAttempts, "trainyard_worker_attempts", kGauge, "1",
     kPerWorker, "Attempts that the worker holds."},
    {Metric::kWorkerDiskFree, "trainyard_worker_disk_free_bytes", kGauge,
     "bytes", kPerWorker,
     "Room left for the worker in the file system of its work folder."},
    {Metric::kWorkerDiskSize, "trainyard_worker_disk_size_bytes", kGauge,
     "bytes", kPerWorker,
     "Size of the file system of the worker's work folder."},

    {Metric::kDeviceInfo, "trainyard_device_info", kGauge, "1",
     "worker, device, kind, model", "Always 1; the model is a label."},
    {Metric::kDeviceBusy, "trainyard_device_busy", kGauge, "1", kPerDevice,
     "1 while an attempt holds the device."},
    {Metric::kDeviceUtilization, "trainyard_device_utilization_ratio", kGauge,
     "ratio", kPerDevice,
     "How busy the device is with anything at all, 0 to 1."},
    {Metric::kDeviceMemory, "trainyard_device_memory_bytes", kGauge, "bytes",
     kPerDevice, "Memory of the device in all."},
    {Metric::kDeviceMemoryFree, "trainyard_device_memory_free_bytes", kGauge,
     "bytes", kPerDevice, "Memory of the device that is free for jobs."},
    {Metric::kDeviceTemperature, "trainyard_device_temperature_celsius", kGauge,
     "degrees Celsius", kPerDevice, "Temperature of the device."},
    {Metric::kDevicePower, "trainyard_device_power_watts", kGauge, "watts",
     kPerDevice, "Power that the device draws."},

    {Metric::kJobSeriesOmitted, "trainyard_job_series_omitted", kGauge, "1", "",
     "Running jobs without series of their own, because there are more than "
     "1,000: the oldest ones have them."},
    {Metric::kJobStep, "trainyard_job_step", kGauge, "1", kPerJob,
     "Steps done, over all attempts: optimiser steps, or batches of an "
     "ensemble."},
    {Metric::kJobSteps, "trainyard_job_steps", kGauge, "1", kPerJob,
     "Steps in all."},
    {Metric::kJobEpoch, "trainyard_job_epoch", kGauge, "1", kPerJob,
     "Epochs begun, from 1."},
    {Metric::kJobLoss, "trainyard_job_loss", kGauge, "1", kPerJob,
     "Mean training loss over the last second or so."},
    {Metric::kJobLearningRate, "trainyard_job_learning_rate", kGauge, "1",
     kPerJob, "Current learning rate."},
    {Metric::kJobSamplesPerSecond, "trainyard_job_samples_per_second", kGauge,
     "samples per second", kPerJob, "Samples worked on per second."},
    {Metric::kJobDataWait, "trainyard_job_data_wait_seconds", kGauge, "seconds",
     kPerJob, "Mean time for which a step waited for data."},
    {Metric::kJobCompute, "trainyard_job_compute_seconds", kGauge, "seconds",
     kPerJob, "Mean time of a step without its wait for data."},
    {Metric::kJobEta, "trainyard_job_eta_seconds", kGauge, "seconds", kPerJob,
     "Time until the end at the current speed."},
    {Metric::kJobResidentMemory, "trainyard_job_resident_memory_bytes", kGauge,
     "bytes", kPerJob, "Resident memory of the runner."},
    {Metric::kJobValidationLoss, "trainyard_job_validation_loss", kGauge, "1",
     kPerJob, "Validation loss of the newest epoch."},
    {Metric::kJobValidationAccuracy, "trainyard_job_validation_accuracy_ratio",
     kGauge, "ratio", kPerJob,
     "Validation accuracy of the newest epoch; of an ensemble its accuracy."},
    {Metric::kJobLastProgress, "trainyard_job_last_progress_timestamp_seconds",
     kGauge, "seconds", kPerJob,
     "When the job's step last grew, as Unix time of the server's clock."},
    {Metric::kJobDeviceUtilization, "trainyard_job_device_utilization_ratio",
     kGauge, "ratio", kPerJobDevice,
     "How busy the job's device is, 0 to 1; for CPUs the runner's share of "
     "the cores it was given."},
    {Metric::kJobDeviceMemory, "trainyard_job_device_memory_bytes", kGauge,
     "bytes", kPerJobDevice, "Device memory in use by the runner."},
    {Metric::kJobDeviceTemperature, "trainyard_job_device_temperature_celsius",
     kGauge, "degrees Celsius", kPerJobDevice,
     "Temperature of the job's device."},
    {Metric::kJobDevicePower, "trainyard_job_device_power_watts", kGauge,
     "watts", kPerJobDevice, "Power that the job's device draws."},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kTable); ++i) {
    if (static_cast<size_t>(kTable[i].metric) != i) return false;
  }
  return std::size(kTable) == kMetrics;
}
static_assert(InOrder(), "the rows are in the order of the enumerators");

struct Section {
  Metric first;
  const char* title;
  const char* text;
};

constexpr Section kSections[] = {
    {Metric::kBuildInfo, "The server", ""},
    {Metric::kJobs, "Queue and jobs", ""},
    {Metric::kWorkers, "Workers",
     "For workers that are online or silent; the series of one that is lost "
     "end."},
    {Metric::kDeviceInfo, "Devices",
     "From the workers' heartbeats. Readings end when the worker falls "
     "silent."},
    {Metric::kJobSeriesOmitted, "Running jobs",
     "From a job's first point to the end of its attempt. `job_id` is its "
     "number, "
     "`job_name` the first 64 characters of its name."},
};

const char* NameOf(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "";
}

constexpr char kHead[] =
    "# Metrics\n"
    "\n"
    "What `/metrics` of the server holds, in Prometheus' format. This page is "
    "what `trainyard-server --describe-metrics`\n"
    "prints; a test compares the two.\n"
    "\n"
    "There is no series where a device, a job or a moment has no such figure: "
    "0 always means zero. Labels are bounded: job\n"
    "series exist only while the job runs, for at most 1,000 jobs at a time, "
    "and worker series only until the worker's lease\n"
    "ends. Histograms have `_bucket`, `_sum` and `_count` series.\n";

}  // namespace

const MetricInfo& Describe(Metric metric) {
  return kTable[static_cast<size_t>(metric)];
}

absl::Span<const MetricInfo> AllMetrics() { return kTable; }

std::string MetricsPage() {
  std::string page = kHead;
  for (const MetricInfo& info : kTable) {
    for (const Section& section : kSections) {
      if (section.first != info.metric) continue;
      absl::StrAppend(&page, "\n## ", section.title, "\n\n");
      if (section.text[0] != '\0') {
        absl::StrAppend(&page, section.text, "\n\n");
      }
      absl::StrAppend(&page, "| metric | type | unit | labels | is |\n",
                      "| --- | --- | --- | --- | --- |\n");
    }
    absl::StrAppend(&page, "| `", info.name, "` | ", NameOf(info.type), " | ",
                    info.unit, " | ", info.labels, " | ", info.help, " |\n");
  }
  return page;
}

}  // namespace trainyard::telemetry
