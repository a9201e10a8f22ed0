#include "server/telemetry/gauges.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace trainyard::telemetry {
namespace {

double UnixSeconds(absl::Time time) {
  return absl::ToDoubleSeconds(time - absl::UnixEpoch());
}

// Adds samples with the same labels; what is not set, not at all.
class Labelled {
 public:
  Labelled(absl::Span<const Label> labels, AddSample add)
      : labels_(labels), add_(add) {}

  template <typename T>
  void Add(Metric metric, const T& value) const {
    add_(metric, labels_, static_cast<double>(value));
  }
  template <typename T>
  void Add(Metric metric, const std::optional<T>& value) const {
    if (value.has_value()) Add(metric, *value);
  }

 private:
  const absl::Span<const Label> labels_;
  const AddSample add_;
};

const DeviceReading* FindReading(const WorkerReading* reading,
                                 const std::string& id) {
  if (reading == nullptr) return nullptr;
  const auto found = std::find_if(
      reading->devices.begin(), reading->devices.end(),
      [&id](const DeviceReading& device) { return device.id == id; });
  return found == reading->devices.end() ? nullptr : &*found;
}

void SampleDevice(const WorkerView& worker, const DeviceView& device,
                  const WorkerReading* reading, AddSample add) {
  const Label labels[] = {{"worker", worker.name},
                          {"device", device.id},
                          {"kind", device.kind},
                          {"model", device.model}};
  add(Metric::kDeviceInfo, labels, 1);
  const Labelled series(absl::MakeConstSpan(labels).first(3), add);
  series.Add(Metric::kDeviceBusy, device.busy);
  if (device.memory_bytes > 0) {
    series.Add(Metric::kDeviceMemory, device.memory_bytes);
    if (worker.online) {
      series.Add(Metric::kDeviceMemoryFree, device.free_memory_bytes);
    }
  }
  if (const DeviceReading* now = FindReading(reading, device.id)) {
    series.Add(Metric::kDeviceUtilization, now->utilization);
    series.Add(Metric::kDeviceTemperature, now->temperature_celsius);
    series.Add(Metric::kDevicePower, now->power_watts);
  }
}

void SampleWorker(const WorkerView& worker, const WorkerReading* reading,
                  AddSample add) {
  const Label labels[] = {{"worker", worker.name}};
  const Labelled series(labels, add);
  series.Add(Metric::kWorkerUp, worker.online);
  series.Add(Metric::kWorkerDraining, worker.draining);
  series.Add(Metric::kWorkerLastSeen, UnixSeconds(worker.last_seen));
  series.Add(Metric::kWorkerAttempts, worker.attempts);
  if (reading != nullptr && reading->disk.has_value()) {
    series.Add(Metric::kWorkerDiskFree, reading->disk->free_bytes);
    series.Add(Metric::kWorkerDiskSize, reading->disk->size_bytes);
  }
  for (const DeviceView& device : worker.devices) {
    SampleDevice(worker, device, reading, add);
  }
}

void SampleWork(const PointReading& point, const Labelled& series) {
  series.Add(Metric::kJobStep, point.step);
  if (point.total_steps > 0) series.Add(Metric::kJobSteps, point.total_steps);
  if (point.epoch > 0) series.Add(Metric::kJobEpoch, point.epoch);
  series.Add(Metric::kJobLoss, point.loss);
  series.Add(Metric::kJobLearningRate, point.learning_rate);
  series.Add(Metric::kJobSamplesPerSecond, point.samples_per_second);
  series.Add(Metric::kJobDataWait, point.data_wait_seconds);
  if (point.step_seconds.has_value() && point.data_wait_seconds.has_value()) {
    series.Add(Metric::kJobCompute,
               std::max(0.0, *point.step_seconds - *point.data_wait_seconds));
  }
  series.Add(Metric::kJobEta, point.eta_seconds);
  series.Add(Metric::kJobResidentMemory, point.rss_bytes);
  series.Add(Metric::kJobValidationLoss, point.validation_loss);
  series.Add(Metric::kJobValidationAccuracy, point.validation_accuracy);
}

void SampleJob(uint64_t job, const RunView& run, const JobReading& reading,
               AddSample add) {
  const std::string number = absl::StrCat(job);
  absl::string_view name;
  if (reading.point.job_name != nullptr) {
    name =
        absl::string_view(*reading.point.job_name).substr(0, kMaxJobNameBytes);
  }
  const Label labels[] = {
      {"job_id", number}, {"job_name", name}, {"worker", run.worker}};
  const Labelled series(labels, add);
  SampleWork(reading.point, series);
  series.Add(Metric::kJobLastProgress, UnixSeconds(reading.last_progress));
  for (const DeviceReading& device : reading.point.devices) {
    const Label with_device[] = {
        labels[0], labels[1], labels[2], {"device", device.id}};
    const Labelled of_device(with_device, add);
    of_device.Add(Metric::kJobDeviceUtilization, device.utilization);
    of_device.Add(Metric::kJobDeviceMemory, device.memory_bytes);
    of_device.Add(Metric::kJobDeviceTemperature, device.temperature_celsius);
    of_device.Add(Metric::kJobDevicePower, device.power_watts);
  }
}

}  // namespace

void SampleQueue(const ClusterView& view, AddSample add) {
  add(Metric::kOldestWait, {}, absl::ToDoubleSeconds(view.oldest_wait));
  for (const WantedView& wanted : view.wanted) {
    const Label labels[] = {{"kind", wanted.kind}};
    add(Metric::kWantedDevices, labels, static_cast<double>(wanted.devices));
  }
}

void SampleWorkers(const ClusterView& view,
                   const FleetReadings::ByWorker& readings, AddSample add) {
  for (const WorkerView& worker : view.workers) {
    const auto found =
        worker.online ? readings.find(worker.name) : readings.end();
    SampleWorker(worker,
                 found == readings.end() ? nullptr : found->second.get(), add);
  }
}

void SampleJobs(const ClusterView& view,
                const std::map<uint64_t, JobReading>& jobs, size_t limit,
                AddSample add) {
  size_t shown = 0;
  for (const auto& [job, reading] : jobs) {
    if (shown == limit) break;
    const auto run = view.runs.find(job);
    if (run == view.runs.end()) continue;
    SampleJob(job, run->second, reading, add);
    ++shown;
  }
  add(Metric::kJobSeriesOmitted, {}, static_cast<double>(jobs.size() - shown));
}

}  // namespace trainyard::telemetry
