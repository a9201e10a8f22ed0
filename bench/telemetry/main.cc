// trainyard-bench-telemetry: what the telemetry of many workers costs the
// server. bench/README.md says how to read it.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "prometheus/text_serializer.h"
#include "server/adapters/cluster_collector.h"
#include "server/adapters/sqlite_points.h"
#include "server/engine/fake_store.h"
#include "server/rpc/convert_telemetry.h"
#include "server/telemetry/hub.h"
#include "trainyard/v1/worker_service.pb.h"

namespace trainyard::bench {
namespace {

struct Flags {
  std::string folder = std::filesystem::temp_directory_path().string();
  int workers = 1000;  // each with one device and one running job
  int rounds = 15;
  int seconds_of_points = 10;  // one point per worker and second
};

void Print(const char* metric, double value, const char* unit) {
  std::printf("{\"metric\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", metric,
              value, unit);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double MillisecondsOf(const std::function<void()>& work) {
  const absl::Time begin = absl::Now();
  work();
  return absl::ToDoubleMilliseconds(absl::Now() - begin);
}

// Processor time of the whole program: other programs do not count.
double CpuMillisecondsOf(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

double MedianMilliseconds(int rounds, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) times.push_back(MillisecondsOf(work));
  return Median(std::move(times));
}

std::string WorkerName(int worker) { return absl::StrCat("worker-", worker); }

core::WorkerReport ReportOf(int worker) {
  core::WorkerReport report;
  report.worker = core::WorkerName(WorkerName(worker));
  report.instance = "one";
  core::Device& device = report.devices.emplace_back();
  device.id = absl::StrCat("cuda:GPU-00000000-0000-0000-0000-", worker);
  device.kind = core::DeviceKind::kCuda;
  device.model = "NVIDIA H200";
  device.memory_bytes = uint64_t{141} << 30;
  device.free_memory_bytes = uint64_t{100} << 30;
  return report;
}

telemetry::DeviceReading DeviceOf(int worker) {
  return {ReportOf(worker).devices[0].id, 0.875, uint64_t{40} << 30, 61.5,
          412.25};
}

// What a worker sends of its job, as it comes from the wire.
v1::TelemetryRecord RecordOf(int job, uint64_t sequence) {
  v1::TelemetryRecord record;
  record.mutable_key()->set_job(static_cast<uint64_t>(job));
  record.mutable_key()->set_attempt(1);
  record.set_sequence(sequence);
  v1::MetricPoint& point = *record.mutable_point();
  point.set_step(100 * sequence);
  point.set_total_steps(100000);
  point.set_epoch(3);
  point.set_loss(0.31731);
  point.set_learning_rate(0.01);
  point.set_samples_per_second(123456.7);
  point.set_data_wait_seconds(0.000123);
  point.set_step_seconds(0.0123);
  point.set_eta_seconds(1234.5);
  point.set_rss_bytes(uint64_t{3} << 30);
  v1::DeviceUsage& usage = *point.add_devices();
  const telemetry::DeviceReading device = DeviceOf(job);
  usage.set_id(device.id);
  usage.set_utilization(*device.utilization);
  usage.set_memory_bytes(*device.memory_bytes);
  usage.set_temperature_celsius(*device.temperature_celsius);
  usage.set_power_watts(*device.power_watts);
  return record;
}

// An engine without a disk below it, whose workers all run a job.
class Fleet {
 public:
  explicit Fleet(const Flags& flags)
      : flags_(flags),
        engine_({}, RealClock(), &store_, &metrics_),
        collector_(std::make_shared<adapters::ClusterCollector>(
            adapters::ClusterCollectorOptions{
                .state_dir = flags.folder,
                .patience = absl::Seconds(10),
                .shortest_interval = absl::ZeroDuration()},
            RealClock(), &engine_, &fleet_, &jobs_)) {}
  ~Fleet() {
    collector_->Detach();
    engine_.Stop();
  }

  absl::Status Start() {
    if (absl::Status status = engine_.Start(); !status.ok()) return status;
    core::SubmitJobs submit;
    for (int i = 1; i <= flags_.workers; ++i) {
      core::Submission& one = submit.submissions.emplace_back();
      one.name = "bench";
      one.scheduling.devices = {{core::DeviceKind::kCuda, 1, 0}};
    }
    Do(submit);
    ReportAll({});
    // Which job went where does not matter here: each worker has one.
    absl::Notification done;
    std::vector<core::AttemptStatus> running(
        static_cast<size_t>(flags_.workers) + 1);
    engine_.Read([&](const core::Cluster& cluster) {
      for (int i = 1; i <= flags_.workers; ++i) {
        const core::Worker* worker =
            cluster.FindWorker(core::WorkerName(WorkerName(i)));
        if (worker == nullptr || worker->attempts.empty()) continue;
        running[static_cast<size_t>(i)].key = *worker->attempts.begin();
        running[static_cast<size_t>(i)].phase = core::Phase::kRunning;
      }
      done.Notify();
    });
    done.WaitForNotification();
    ReportAll(running);
    return absl::OkStatus();
  }

  // One heartbeat of each worker; in milliseconds.
  double ReportAll(const std::vector<core::AttemptStatus>& running) {
    if (!running.empty()) running_ = running;
    return MillisecondsOf([this] {
      for (int i = 1; i <= flags_.workers; ++i) {
        core::WorkerReport report = ReportOf(i);
        if (!running_.empty()) {
          report.attempts = {running_[static_cast<size_t>(i)]};
        }
        engine_.Post(core::ReportWorker{std::move(report)},
                     [](const core::Reply&) {});
      }
      Do(core::Tick{});
    });
  }

  // The readings of those heartbeats.
  double SetReadings() {
    return MillisecondsOf([this] {
      for (int i = 1; i <= flags_.workers; ++i) {
        auto reading = std::make_shared<telemetry::WorkerReading>();
        reading->devices.push_back(DeviceOf(i));
        reading->disk = telemetry::DiskReading{1 << 30, 2 << 30};
        fleet_.Set(WorkerName(i), std::move(reading));
      }
    });
  }

  // On the engine's thread, in milliseconds.
  double View() {
    double taken = 0;
    absl::Notification done;
    engine_.Read([&](const core::Cluster& cluster) {
      taken = MillisecondsOf([&] { adapters::MakeView(cluster, absl::Now()); });
      done.Notify();
    });
    done.WaitForNotification();
    return taken;
  }

  std::string Scrape() const {
    return prometheus::TextSerializer().Serialize(collector_->Collect());
  }

  telemetry::JobReadings& jobs() { return jobs_; }

 private:
  void Do(core::Command command) {
    absl::Notification done;
    engine_.Post(std::move(command),
                 [&done](const core::Reply&) { done.Notify(); });
    done.WaitForNotification();
  }

  const Flags flags_;
  engine::FakeStore store_;
  engine::NoMetrics metrics_;
  engine::Engine engine_;
  telemetry::FleetReadings fleet_;
  telemetry::JobReadings jobs_;
  std::shared_ptr<adapters::ClusterCollector> collector_;
  std::vector<core::AttemptStatus> running_;
};

// Points per second from the wire's form to the disk; with their readings kept
// for series where `jobs` is given.
absl::StatusOr<double> IngestPoints(const Flags& flags, int round,
                                    telemetry::JobReadings* jobs) {
  auto points = adapters::SqlitePoints::Open(
      absl::StrCat(flags.folder, "/telemetry-", round,
                   jobs == nullptr ? "-plain.db" : ".db"),
      {});
  if (!points.ok()) return points.status();
  telemetry::Hub::Observer observer;
  if (jobs != nullptr) {
    observer = [jobs](const telemetry::Entry& entry) {
      jobs->Add(entry.attempt, *entry.reading, absl::Now());
    };
  }
  telemetry::Hub hub({}, points->get(), std::move(observer));
  const auto name = std::make_shared<const std::string>("bench");
  absl::Status failed;
  const double milliseconds = MillisecondsOf([&] {
    for (int second = 1; second <= flags.seconds_of_points; ++second) {
      for (int job = 1; job <= flags.workers; ++job) {
        v1::ReportTelemetryRequest request;
        *request.add_records() = RecordOf(job, static_cast<uint64_t>(second));
        auto entries = rpc::FromProto(request);
        for (telemetry::Entry& entry : *entries) {
          entry.reading->job_name = name;
          if (jobs == nullptr) entry.reading = nullptr;
        }
        hub.Ingest(*std::move(entries), [&failed](const absl::Status& status) {
          if (!status.ok()) failed = status;
        });
      }
    }
    hub.Stop();
  });
  if (!failed.ok()) return failed;
  return 1000.0 * flags.workers * flags.seconds_of_points / milliseconds;
}

absl::Status MeasurePoints(const Flags& flags, telemetry::JobReadings* jobs) {
  std::vector<double> plain, kept, ratios;
  for (int round = 0; round < 3; ++round) {
    const auto without = IngestPoints(flags, round, nullptr);
    if (!without.ok()) return without.status();
    const auto with = IngestPoints(flags, round, jobs);
    if (!with.ok()) return with.status();
    plain.push_back(*without);
    kept.push_back(*with);
    ratios.push_back(*with / *without);
  }
  Print("points_stored_per_second", Median(plain), "1/s");
  Print("points_stored_and_kept_per_second", Median(kept), "1/s");
  Print("points_kept_ratio", Median(ratios), "ratio");
  return absl::OkStatus();
}

absl::Status Measure(const Flags& flags) {
  Fleet fleet(flags);
  if (absl::Status status = fleet.Start(); !status.ok()) return status;
  if (absl::Status status = MeasurePoints(flags, &fleet.jobs()); !status.ok()) {
    return status;
  }
  const double heartbeats =
      MedianMilliseconds(flags.rounds, [&fleet] { fleet.ReportAll({}); });
  const double readings =
      MedianMilliseconds(flags.rounds, [&fleet] { fleet.SetReadings(); });
  Print("heartbeats_of_all_workers", heartbeats, "ms");
  Print("readings_of_all_workers", readings, "ms");
  std::vector<double> views;
  for (int i = 0; i < flags.rounds; ++i) views.push_back(fleet.View());
  Print("scrape_on_the_engines_thread", Median(std::move(views)), "ms");
  std::string text;
  const double scrape = MedianMilliseconds(
      flags.rounds, [&fleet, &text] { text = fleet.Scrape(); });
  Print("scrape", scrape, "ms");
  std::vector<double> cpu;
  for (int i = 0; i < flags.rounds; ++i) {
    cpu.push_back(CpuMillisecondsOf([&fleet] { fleet.Scrape(); }));
  }
  Print("scrape_cpu", Median(std::move(cpu)), "ms");
  Print("scrape_size", static_cast<double>(text.size()), "bytes");
  Print("scrape_series",
        static_cast<double>(std::count(text.begin(), text.end(), '\n')),
        "lines");
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("What the telemetry of many workers costs the server.");
  app.add_option("--folder", flags.folder, "where a folder for data is made")
      ->capture_default_str();
  app.add_option("--workers", flags.workers, "each runs a job")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--rounds", flags.rounds, "whose median is printed")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--seconds-of-points", flags.seconds_of_points,
                 "points stored per worker")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  flags.folder = absl::StrCat(flags.folder, "/trainyard-bench-XXXXXX");
  if (mkdtemp(flags.folder.data()) == nullptr) {
    std::fprintf(stderr, "cannot make %s\n", flags.folder.c_str());
    return 1;
  }
  const absl::Status status = Measure(flags);
  std::error_code ignored;
  std::filesystem::remove_all(flags.folder, ignored);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) { return trainyard::bench::Main(argc, argv); }
