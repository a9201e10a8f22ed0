#include "workers/agent/options.h"

#include <stdlib.h>

#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/agent/backoff.h"
#include "workers/agent/runner_spec.h"

namespace trainyard::agent {
namespace {

using ::testing::ElementsAre;

std::optional<int> Parse(std::vector<std::string> arguments,
                         CommandLine& line) {
  arguments.insert(arguments.begin(),
                   {"trainyard-worker", "--runner", "/bin/sh"});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data(), line);
}

TEST(OptionsTest, HasDefaults) {
  unsetenv("TRAINYARD_SERVER");  // a developer's shell may have it
  CommandLine line;
  ASSERT_EQ(Parse({}, line), std::nullopt);
  EXPECT_EQ(line.server, "127.0.0.1:7070");
  EXPECT_TRUE(CheckWorkerName(line.name).ok());
  EXPECT_EQ(line.cache_limit_bytes, 20ull << 30);
  EXPECT_EQ(line.devices, "auto");
  EXPECT_EQ(line.grace, absl::Seconds(10));
  EXPECT_FALSE(line.data_roots.empty());
}

TEST(OptionsTest, ReadsFlags) {
  CommandLine line;
  ASSERT_EQ(Parse({"--server", "[::1]:9", "--name", "gpu-1", "--label", "a=b",
                   "--label", "c=", "--data-root", "/tmp", "--data-root",
                   "/usr", "--cache-limit", "5MB", "--grace", "500ms"},
                  line),
            std::nullopt);
  EXPECT_EQ(line.server, "[::1]:9");
  EXPECT_EQ(line.name, "gpu-1");
  EXPECT_EQ(line.labels.at("a"), "b");
  EXPECT_EQ(line.labels.at("c"), "");
  EXPECT_THAT(line.data_roots, ElementsAre("/tmp", "/usr"));
  EXPECT_EQ(line.cache_limit_bytes, 5000000u);
  EXPECT_EQ(line.grace, absl::Milliseconds(500));
}

TEST(OptionsTest, AsksForHealth) {
  const struct {
    std::vector<std::string> arguments;
    HealthKind kind;
  } kCases[] = {
      {{"--health"}, HealthKind::kReady},
      {{"--health", "--work-dir", "/w"}, HealthKind::kReady},
      {{"--health", "ready"}, HealthKind::kReady},
      {{"--health=live"}, HealthKind::kLive},
      // Nothing else is looked at: it is another process that works.
      {{"--health", "--name", "NOT A NAME"}, HealthKind::kReady},
  };
  for (const auto& [arguments, kind] : kCases) {
    CommandLine line;
    EXPECT_EQ(Parse(arguments, line), std::nullopt) << arguments.back();
    EXPECT_EQ(line.health, kind) << arguments.back();
  }
}

TEST(OptionsTest, TheEnvironmentGivesServerAndWorkFolder) {
  setenv("TRAINYARD_SERVER", "yard:7070", 1);
  setenv("TRAINYARD_WORK_DIR", "/w", 1);
  CommandLine line;
  EXPECT_EQ(Parse({}, line), std::nullopt);
  EXPECT_EQ(line.server, "yard:7070");
  EXPECT_EQ(line.work_dir, "/w");
  CommandLine flags;
  EXPECT_EQ(Parse({"--server", "[::1]:9", "--work-dir", "/v"}, flags),
            std::nullopt);
  EXPECT_EQ(flags.server, "[::1]:9");
  EXPECT_EQ(flags.work_dir, "/v");
  unsetenv("TRAINYARD_SERVER");
  unsetenv("TRAINYARD_WORK_DIR");
}

TEST(OptionsTest, RefusesWhatIsWrong) {
  const std::vector<std::vector<std::string>> kCases = {
      {"--name", "GPU_1"},
      {"--name", std::string(64, 'a')},
      {"--label", "novalue"},
      {"--label", "=x"},
      {"--label", "a=1", "--label", "a=2"},
      {"--cache-limit", "much"},
      {"--grace", "10"},
      {"--grace", "-1s"},
      {"--runner", "/no/such/program"},
      {"--health", "well"},
      {"--frobnicate"},
      {"surplus"},
  };
  for (const auto& arguments : kCases) {
    CommandLine line;
    EXPECT_EQ(Parse(arguments, line), 2) << arguments[0];
  }
}

TEST(OptionsTest, VersionAndHelpAreNoErrors) {
  CommandLine line;
  EXPECT_EQ(Parse({"--version"}, line), 0);
  EXPECT_EQ(Parse({"--help"}, line), 0);
}

TEST(OptionsTest, MakesAHostNameAWorkerName) {
  EXPECT_EQ(WorkerNameFrom("Anna.local"), "anna-local");
  EXPECT_EQ(WorkerNameFrom(""), "worker");
  EXPECT_TRUE(CheckWorkerName(WorkerNameFrom(std::string(200, 'X'))).ok());
}

TEST(RunnerSpecTest, SaysWhatTheProtocolSays) {
  RunnerSpec spec{.key = {17, 2}, .threads = 2, .work_dir = "/w"};
  v1::TrainingSpec& training = *spec.job.mutable_training();
  training.mutable_model()->set_architecture("mnist_cnn");
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  training.mutable_data()->mutable_source()->set_path("/data/glyphs");
  training.mutable_optimizer()->set_kind(v1::OptimizerSpec::KIND_SGD);
  training.set_epochs(3);
  const auto json = nlohmann::json::parse(FormatRunnerSpec(spec));
  EXPECT_EQ(json, nlohmann::json::parse(R"({
    "trainyard_runner": 1, "job": 17, "attempt": 2,
    "training": {"model": {"architecture": "mnist_cnn"},
                 "data": {"format": "idx", "source": {"path": "/data/glyphs"}},
                 "optimizer": {"kind": "sgd"}, "epochs": 3},
    "device": {"kind": "cpu", "index": 0, "threads": 2},
    "work_dir": "/w"})"));
  spec.resume = "/c";
  EXPECT_EQ(nlohmann::json::parse(FormatRunnerSpec(spec))["resume"], "/c");
}

TEST(RunnerSpecTest, AnEnsembleGetsAllItsDevices) {
  RunnerSpec spec{.key = {18, 1},
                  .devices = {DeviceKind::kCuda, DeviceKind::kCuda},
                  .threads = 4,
                  .work_dir = "/w"};
  v1::EnsembleInferenceSpec& ensemble = *spec.job.mutable_ensemble();
  v1::EnsembleMember& member = *ensemble.add_members();
  member.set_name("a");
  member.set_job("jobs/17");
  member.mutable_model()->set_architecture("mlp");
  member.mutable_model()->mutable_weights()->set_path("/m/w");
  member.mutable_config()->set_path("/m/c");
  ensemble.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  ensemble.mutable_data()->mutable_source()->set_path("/d");
  ensemble.set_fusion(v1::EnsembleInferenceSpec::FUSION_VOTE);
  ensemble.add_outputs(v1::EnsembleInferenceSpec::OUTPUT_FORMAT_NPY);
  EXPECT_EQ(nlohmann::json::parse(FormatRunnerSpec(spec)),
            nlohmann::json::parse(R"({
    "trainyard_runner": 1, "job": 18, "attempt": 1,
    "ensemble": {
      "members": [{"name": "a", "job": "jobs/17", "model": {"architecture": "mlp",
                                          "weights": {"path": "/m/w"}},
                   "config": {"path": "/m/c"}}],
      "data": {"format": "idx", "source": {"path": "/d"}},
      "fusion": "vote", "outputs": ["npy"]},
    "device": {"kind": "cuda", "index": 0, "threads": 4},
    "devices": [{"kind": "cuda", "index": 0, "threads": 4},
                {"kind": "cuda", "index": 1, "threads": 4}],
    "work_dir": "/w"})"));
}

TEST(RunnerSpecTest, ShowsARunnerOnlyItsCards) {
  const DeviceInfo a{.id = "cuda:GPU-a", .kind = DeviceKind::kCuda};
  const DeviceInfo b{.id = "cuda:GPU-b", .kind = DeviceKind::kCuda};
  const DeviceInfo cpu{.id = "cpu", .kind = DeviceKind::kCpu, .cores = 8};
  EXPECT_THAT(DeviceEnvironment({a, b}, 4),
              ElementsAre("CUDA_VISIBLE_DEVICES=GPU-a,GPU-b",
                          "CUDA_DEVICE_ORDER=PCI_BUS_ID", "OMP_NUM_THREADS=4"));
  EXPECT_EQ(DeviceEnvironment({cpu}, 8)[0], "CUDA_VISIBLE_DEVICES=");
  EXPECT_EQ(ThreadsFor({cpu}, {cpu, a, b}, 8), 8u);
  EXPECT_EQ(ThreadsFor({a}, {cpu, a, b}, 8), 4u);
  EXPECT_EQ(ThreadsFor({a, b}, {cpu, a, b}, 8), 8u);
  EXPECT_EQ(ThreadsFor({a}, {a, b}, 1), 1u);
}

TEST(BackoffTest, DoublesUpToItsBoundWithJitter) {
  Backoff backoff(
      {.first = absl::Milliseconds(100), .longest = absl::Seconds(1)}, 7);
  for (int longest : {100, 200, 400, 800, 1000, 1000}) {
    const absl::Duration pause = backoff.Next();
    EXPECT_LE(pause, absl::Milliseconds(longest));
    EXPECT_GE(pause, absl::Milliseconds(longest) / 2);
  }
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Milliseconds(100));
  Backoff same({}, 7), other({}, 8);
  EXPECT_NE(same.Next(), other.Next());
}

}  // namespace
}  // namespace trainyard::agent
