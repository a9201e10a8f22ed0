#include "workers/runner/checkpoint.h"

#include <torch/nn/functional/loss.h>
#include <torch/utils.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runner/models/registry.h"
#include "workers/runner/optim/optimizer.h"
#include "workers/runner/tensors.h"
#include "workers/runner/testing.h"

namespace trainyard::runner {
namespace {

using testing::HasSubstr;

// An mlp that has done some steps.
struct Trained {
  explicit Trained(OptimizerKind kind, uint64_t seed = 1, int steps = 3) {
    torch::manual_seed(seed);
    model = *BuildModel({.architecture = "mlp",
                         .hidden_sizes = {8},
                         .num_classes = 4,
                         .input = {1, 4, 4}});
    OptimizerOptions options;
    options.kind = kind;
    options.momentum = kind == OptimizerKind::kSgd ? 0.9 : 0;
    optimizer = MakeOptimizer(options, model->parameters());
    for (int i = 0; i < steps; ++i) Step();
  }
  void Step() {
    ClearGradients(*optimizer);
    torch::nn::functional::cross_entropy(
        model->forward(torch::randn({6, 1, 4, 4})),
        torch::randint(4, {6}, torch::kInt64))
        .backward();
    optimizer->step();
  }
  CheckpointParts parts() {
    return {model.get(), optimizer.get(), torch::kCPU};
  }

  std::shared_ptr<ImageModel> model;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
};

const nlohmann::json kIdentity = {{"training.model.architecture", "mlp"},
                                  {"training.batch_size", 6}};

class CheckpointOf : public testing::TestWithParam<OptimizerKind> {};

TEST_P(CheckpointOf, GoesOnBitForBit) {
  data::TempFolder folder;
  const std::string path = folder.path() + "/a.safetensors";
  Trained one(GetParam());
  ASSERT_TRUE(
      SaveCheckpoint(path, kIdentity,
                     {.step = 3, .epoch = 1, .batch = 1, .seconds = 2.5},
                     one.parts())
          .ok());
  for (int i = 0; i < 3; ++i) one.Step();  // draws from the generator

  Trained two(GetParam(), /*seed=*/99, /*steps=*/1);
  CheckpointParts parts = two.parts();
  const auto progress = LoadCheckpoint(path, kIdentity, &parts);
  ASSERT_TRUE(progress.ok()) << progress.status();
  EXPECT_EQ(progress->step, 3u);
  EXPECT_EQ(progress->epoch, 1u);
  EXPECT_EQ(progress->batch, 1u);
  EXPECT_EQ(progress->seconds, 2.5);
  for (int i = 0; i < 3; ++i) two.Step();
  const NamedTensors first = StateOf(*one.model);
  for (const auto& [name, tensor] : StateOf(*two.model)) {
    EXPECT_TRUE(torch::equal(first.at(name), tensor)) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(EachRule, CheckpointOf,
                         testing::Values(OptimizerKind::kSgd,
                                         OptimizerKind::kAdam,
                                         OptimizerKind::kAdamW));

TEST(Checkpoint, FindsEveryDamage) {
  data::TempFolder folder;
  const std::string path = folder.path() + "/a.safetensors";
  Trained one(OptimizerKind::kAdam);
  ASSERT_TRUE(SaveCheckpoint(path, kIdentity, {.step = 3}, one.parts()).ok());
  const std::string whole = FileContent(path);
  std::vector<std::string> broken = {"", "x", whole.substr(0, 7),
                                     whole.substr(0, whole.size() / 2),
                                     whole.substr(0, whole.size() - 1)};
  for (size_t i = 0; i < whole.size(); i += whole.size() / 97 + 1) {
    broken.push_back(whole);
    broken.back()[i] = static_cast<char>(broken.back()[i] ^ 0x10);
  }
  for (const std::string& content : broken) {
    folder.Write("b.safetensors", content);
    Trained two(OptimizerKind::kAdam, 2);
    CheckpointParts parts = two.parts();
    const torch::Tensor before = two.model->parameters()[0].clone();
    const auto loaded =
        LoadCheckpoint(folder.path() + "/b.safetensors", kIdentity, &parts);
    EXPECT_FALSE(loaded.ok());
    EXPECT_THAT(loaded.status().ToString(), HasSubstr("b.safetensors"));
    EXPECT_TRUE(torch::equal(before, two.model->parameters()[0]));
  }
}

TEST(Checkpoint, OfAnotherJobNamesWhatDiffers) {
  data::TempFolder folder;
  const std::string path = folder.path() + "/a.safetensors";
  Trained one(OptimizerKind::kSgd);
  ASSERT_TRUE(SaveCheckpoint(path, kIdentity, {}, one.parts()).ok());
  nlohmann::json other = kIdentity;
  other["training.batch_size"] = 12;
  CheckpointParts parts = one.parts();
  const auto loaded = LoadCheckpoint(path, other, &parts);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(loaded.status().message()),
      HasSubstr("training.batch_size is 6 in the checkpoint, 12 in this job"));
}

TEST(Checkpoint, OfAnotherShapeNamesTheTensor) {
  data::TempFolder folder;
  const std::string path = folder.path() + "/a.safetensors";
  Trained one(OptimizerKind::kSgd);
  ASSERT_TRUE(SaveCheckpoint(path, kIdentity, {}, one.parts()).ok());
  Trained two(OptimizerKind::kSgd);
  two.model = *BuildModel({.architecture = "mlp",
                           .hidden_sizes = {9},
                           .num_classes = 4,
                           .input = {1, 4, 4}});
  two.optimizer = MakeOptimizer({}, two.model->parameters());
  CheckpointParts parts = two.parts();
  EXPECT_THAT(LoadCheckpoint(path, kIdentity, &parts).status().ToString(),
              HasSubstr("layers.0.bias.momentum_buffer is [8] in the file, [9] "
                        "here"));
}

TEST(Checkpoint, ThatIsNotThereBlamesTheMachine) {
  Trained one(OptimizerKind::kSgd);
  CheckpointParts parts = one.parts();
  EXPECT_EQ(LoadCheckpoint("/nowhere/a", kIdentity, &parts).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST(CheckpointFolder, KeepsTheNewestTwo) {
  data::TempFolder folder;
  CheckpointFolder checkpoints(folder.path());
  for (uint64_t step : {1, 2, 3, 3}) {
    const std::string path = checkpoints.PathOf(step);
    folder.Write(path.substr(folder.path().size() + 1), "x");
    checkpoints.Keep(path);
  }
  EXPECT_NE(access(checkpoints.PathOf(1).c_str(), F_OK), 0);
  EXPECT_EQ(access(checkpoints.PathOf(2).c_str(), F_OK), 0);
  EXPECT_EQ(access(checkpoints.PathOf(3).c_str(), F_OK), 0);
}

}  // namespace
}  // namespace trainyard::runner
