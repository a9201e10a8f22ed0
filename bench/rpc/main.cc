// trainyard-bench-rpc: how many calls and durable submits per second a real
// server takes over loopback. bench/README.md says how to read it.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "bench/rpc/flood.h"
#include "bench/rpc/fsync_probe.h"
#include "bench/rpc/loopback.h"
#include "bench/rpc/server_process.h"
#include "google/protobuf/empty.pb.h"
#include "trainyard/v1/job_service.grpc.pb.h"

namespace trainyard::bench {
namespace {

struct Flags {
  std::string server;
  std::string folder = std::filesystem::temp_directory_path().string();
  int channels = 4;
  int threads = 1;
  int in_flight = 256;
  int batches_in_flight = 8;
  int batch_size = 1000;
  int rounds = 3;
  double seconds = 3;
  double warm_up = 1;
};

// A phase of the given length; returns what it counted per second.
using Phase = std::function<absl::StatusOr<double>(absl::Duration)>;

// A small job, and a request_id as every careful client sends one.
void FillSubmit(v1::SubmitJobRequest* request) {
  static std::atomic<uint64_t> last = 0;
  request->set_request_id(absl::StrCat("bench-", ++last));
  if (request->has_spec()) return;
  v1::JobSpec& spec = *request->mutable_spec();
  spec.set_name("bench");
  v1::TrainingSpec& training = *spec.mutable_training();
  training.mutable_model()->set_architecture("mnist_cnn");
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  training.mutable_data()->mutable_source()->set_path("/data/glyphs");
  training.set_epochs(3);
}

Phase EmptyCalls(const Flags& flags, const Channels& channels) {
  // The messages of grpc.health.v1 are not in the protos we build; the request
  // is empty, and so may be what is read of the response.
  using google::protobuf::Empty;
  auto flood = std::make_shared<Flood<Empty, Empty>>(
      channels, "/grpc.health.v1.Health/Check", [](Empty*) {},
      [](const Empty&) { return uint64_t{1}; });
  return [=](absl::Duration duration) {
    return flood->Run({flags.in_flight, flags.threads, duration});
  };
}

Phase Submits(const Flags& flags, const Channels& channels) {
  auto flood =
      std::make_shared<Flood<v1::SubmitJobRequest, v1::SubmitJobResponse>>(
          channels, "/trainyard.v1.JobService/SubmitJob", FillSubmit,
          [](const v1::SubmitJobResponse& r) -> absl::StatusOr<uint64_t> {
            if (!r.job().name().empty()) return uint64_t{1};
            return absl::InternalError("a submitted job has no name");
          });
  return [=](absl::Duration duration) {
    return flood->Run({flags.in_flight, flags.threads, duration});
  };
}

Phase Batches(const Flags& flags, const Channels& channels) {
  const auto fill = [=](v1::BatchSubmitJobsRequest* request) {
    while (request->requests_size() < flags.batch_size) {
      request->add_requests();
    }
    for (auto& item : *request->mutable_requests()) FillSubmit(&item);
  };
  const auto count =
      [=](const v1::BatchSubmitJobsResponse& r) -> absl::StatusOr<uint64_t> {
    if (r.results_size() != flags.batch_size) {
      return absl::InternalError(absl::StrCat("a batch of ", flags.batch_size,
                                              " has ", r.results_size(),
                                              " results"));
    }
    for (const v1::BatchSubmitJobsResult& result : r.results()) {
      if (result.code() != 0) return absl::InternalError(result.message());
    }
    return static_cast<uint64_t>(flags.batch_size);
  };
  auto flood = std::make_shared<
      Flood<v1::BatchSubmitJobsRequest, v1::BatchSubmitJobsResponse>>(
      channels, "/trainyard.v1.JobService/BatchSubmitJobs", fill, count);
  return [=](absl::Duration duration) {
    return flood->Run({flags.batches_in_flight, flags.threads, duration});
  };
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Print(const char* name, double value, const char* unit) {
  std::printf("{\"name\": \"%s\", \"value\": %.*f, \"unit\": \"%s\"}\n", name,
              value < 100 ? 3 : 0, value, unit);
  std::fflush(stdout);
}

absl::Status Measure(const Flags& flags, const Channels& channels) {
  struct Row {
    const char* name;
    const char* unit;
    Phase phase;
    std::vector<double> values;
  };
  std::vector<Row> rows = {
      {"empty_rpc_per_second", "calls/s", EmptyCalls(flags, channels), {}},
      {"durable_submits_per_second", "jobs/s", Submits(flags, channels), {}},
      {"durable_batch_jobs_per_second",
       "jobs/s",
       Batches(flags, channels),
       {}}};
  for (Row& row : rows) {
    RETURN_IF_ERROR(row.phase(absl::Seconds(flags.warm_up)).status());
  }
  // Side by side: a machine that is slower for a while is so for all of them.
  std::vector<double> ratios;
  for (int round = 1; round <= flags.rounds; ++round) {
    for (Row& row : rows) {
      ASSIGN_OR_RETURN(const double value,
                       row.phase(absl::Seconds(flags.seconds)));
      row.values.push_back(value);
      std::fprintf(stderr, "round %d of %d: %s %.0f\n", round, flags.rounds,
                   row.name, value);
    }
    ratios.push_back(rows[1].values.back() / rows[0].values.back());
  }
  for (const Row& row : rows) Print(row.name, Median(row.values), row.unit);
  Print("durable_submit_ratio", Median(ratios), "of empty_rpc_per_second");
  return absl::OkStatus();
}

absl::Status Run(const Flags& flags) {
  const Folder folder(flags.folder);
  if (folder.path().empty()) {
    return absl::NotFoundError(absl::StrCat("--folder: ", flags.folder,
                                            ": must be a folder to write to"));
  }
  ASSIGN_OR_RETURN(const absl::Duration fsync, MedianFsync(folder.path()));
  Print("fsync_latency", absl::ToDoubleMicroseconds(fsync), "us");
  // Before any thread: it forks.
  ASSIGN_OR_RETURN(const auto server,
                   ServerProcess::Start(flags.server,
                                        absl::StrCat(folder.path(), "/state")));
  ASSIGN_OR_RETURN(const Channels channels,
                   Connect(server->address(), flags.channels));
  return Measure(flags, channels);
}

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--server", flags.server, "path of trainyard-server")
      ->required()
      ->take_last();
  app.add_option("--folder", flags.folder,
                 "the server's state goes below it; on a disk, removed after")
      ->take_last()
      ->capture_default_str();
  app.add_option("--channels", flags.channels, "connections")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "client threads")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--in-flight", flags.in_flight, "unary calls under way")
      ->check(CLI::Range(1, 16384))
      ->capture_default_str();
  app.add_option("--batches-in-flight", flags.batches_in_flight,
                 "batches under way")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--batch-size", flags.batch_size, "jobs of a batch")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--rounds", flags.rounds, "the median of so many is printed")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--seconds", flags.seconds, "of each phase in each round")
      ->check(CLI::Range(0.05, 600.0))
      ->capture_default_str();
  app.add_option("--warm-up", flags.warm_up, "seconds of each phase, before")
      ->check(CLI::Range(0.05, 600.0))
      ->capture_default_str();
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  trainyard::bench::Flags flags;
  CLI::App app("Measures a real trainyard-server over loopback.");
  trainyard::bench::AddFlags(app, flags);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = trainyard::bench::Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "trainyard-bench-rpc: %s\n",
               std::string(status.message()).c_str());
  return 1;
}
