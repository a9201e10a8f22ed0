#include <torch/utils.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/data/test_files.h"
#include "workers/runner/model_file.h"
#include "workers/runner/models/model.h"
#include "workers/runner/models/registry.h"
#include "workers/runner/predict.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {
namespace {

using testing::HasSubstr;

ModelPlan Plan(const std::string& architecture, int64_t classes,
               data::SampleShape input) {
  return {.architecture = architecture,
          .hidden_sizes = {128},
          .num_classes = classes,
          .input = input};
}

int64_t Parameters(const ImageModel& model) {
  int64_t count = 0;
  for (const torch::Tensor& one : model.parameters()) count += one.numel();
  return count;
}

TEST(Registry, BuildsEachModelWithItsParameters) {
  const struct {
    ModelPlan plan;
    int64_t parameters;
  } cases[] = {
      {Plan("mnist_cnn", 10, {1, 28, 28}), 93'322},
      {Plan("mlp", 10, {1, 28, 28}), 784 * 128 + 128 + 128 * 10 + 10},
      {Plan("resnet18", 1000, {3, 224, 224}), 11'689'512},
      {Plan("resnet18", 10, {1, 28, 28}), 11'181'642},
  };
  for (const auto& one : cases) {
    const auto model = BuildModel(one.plan);
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(Parameters(**model), one.parameters) << one.plan.architecture;
    const data::SampleShape& in = one.plan.input;
    (*model)->eval();
    const torch::Tensor logits =
        (*model)->forward(torch::randn({2, in.channels, in.height, in.width}));
    EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{2, one.plan.num_classes}));
  }
}

TEST(Registry, RefusesWhatDoesNotFit) {
  const struct {
    ModelPlan plan;
    const char* message;
  } cases[] = {
      {Plan("resnet81", 10, {3, 32, 32}), "did you mean \"resnet18\"?"},
      {Plan("mnist_cnn", 10, {3, 32, 32}), "takes samples of 1x28x28"},
      {Plan("resnet18", 10, {4, 32, 32}), "1 or 3 channels"},
      {Plan("resnet18", 10, {3, 4, 32}), "at least 8x8"},
      {{"mlp", std::vector<int64_t>(3, 65536), 10, {3, 64, 64}},
       "smaller hidden_sizes"},
  };
  for (const auto& one : cases) {
    const auto model = BuildModel(one.plan);
    EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(model.status().ToString(), HasSubstr(one.message));
  }
}

TEST(Registry, BuildsTheSameFromTheSameSeed) {
  for (const std::string& name : ArchitectureNames()) {
    const ModelPlan plan = Plan(name, 10, {1, 28, 28});
    torch::manual_seed(3);
    const auto one = BuildModel(plan);
    torch::manual_seed(3);
    const auto two = BuildModel(plan);
    const NamedTensors first = StateOf(**one);
    for (const auto& [key, tensor] : StateOf(**two)) {
      EXPECT_TRUE(torch::equal(first.at(key), tensor)) << name << " " << key;
    }
  }
}

// The list is torchvision 0.14's state_dict.
TEST(ResNet18, HasTorchvisionsNamesShapesAndTypes) {
  const auto model = BuildModel(Plan("resnet18", 1000, {3, 224, 224}));
  std::set<std::string> ours;
  for (const auto& [name, tensor] : StateOf(**model)) {
    ours.insert(absl::StrCat(
        name, " ", tensor.scalar_type() == torch::kInt64 ? "int64" : "float32",
        " ",
        tensor.dim() == 0 ? "scalar" : absl::StrJoin(tensor.sizes(), "x")));
  }
  std::set<std::string> theirs;
  std::ifstream list(TRAINYARD_RUNNER_TESTDATA "/resnet18_torchvision.txt");
  for (std::string line; std::getline(list, line);) theirs.insert(line);
  EXPECT_EQ(theirs.size(), 122u);
  EXPECT_EQ(ours, theirs);
}

TEST(ResNet18, StartsAsTorchvisionDoes) {
  torch::manual_seed(1);
  const auto model = BuildModel(Plan("resnet18", 1000, {3, 224, 224}));
  const NamedTensors state = StateOf(**model);
  // Kaiming's normal over fan_out: deviation sqrt(2 / (out * k * k)).
  EXPECT_NEAR(state.at("layer4.1.conv2.weight").std().item<double>(),
              std::sqrt(2.0 / (512 * 9)), 1e-4);
  EXPECT_NEAR(state.at("conv1.weight").std().item<double>(),
              std::sqrt(2.0 / (64 * 49)), 1e-3);
  EXPECT_TRUE((state.at("layer2.0.bn1.weight") == 1).all().item<bool>());
  EXPECT_TRUE((state.at("layer2.0.bn1.bias") == 0).all().item<bool>());
  EXPECT_LE(state.at("fc.weight").abs().max().item<double>(),
            1 / std::sqrt(512.0));
}

TEST(ResNet18, SaysWhichBatchesItCanTrainOn) {
  EXPECT_EQ(
      (*BuildModel(Plan("resnet18", 10, {3, 32, 32})))->min_training_batch(),
      2);
  EXPECT_EQ(
      (*BuildModel(Plan("resnet18", 10, {3, 33, 32})))->min_training_batch(),
      1);
  auto model = *BuildModel(Plan("resnet18", 10, {3, 33, 32}));
  EXPECT_EQ(model->forward(torch::randn({1, 3, 33, 32})).size(0), 1);
}

ModelDescription Describe(const ModelPlan& plan) {
  return {.plan = plan,
          .normalization = {.mean = {0.5f}, .stddev = {0.25f}},
          .class_names = {"a", "b"}};
}

TEST(ModelFile, GivesTheSameLogitsBack) {
  for (const std::string& name : ArchitectureNames()) {
    data::TempFolder folder;
    const ModelPlan plan = Plan(name, 10, {1, 28, 28});
    const auto model = *BuildModel(plan);
    model->forward(torch::randn({4, 1, 28, 28}));  // moves the statistics
    ASSERT_TRUE(SaveModel(folder.path(), Describe(plan), *model).ok());
    const auto loaded = LoadModel(folder.path());
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->description.class_names.size(), 2u);
    EXPECT_EQ(loaded->description.normalization.stddev[0], 0.25f);
    model->eval();
    loaded->model->eval();
    const torch::Tensor images = torch::randn({3, 1, 28, 28});
    EXPECT_TRUE(
        torch::equal(model->forward(images), loaded->model->forward(images)));
  }
}

TEST(ModelFile, RefusesABrokenDescription) {
  data::TempFolder folder;
  const ModelPlan plan = Plan("mlp", 10, {1, 28, 28});
  ASSERT_TRUE(
      SaveModel(folder.path(), Describe(plan), **BuildModel(plan)).ok());
  for (const char* text :
       {"", "[]", "{}", "{\"trainyard_model\":1}",
        "{\"trainyard_model\":1,\"architecture\":\"mlp\",\"num_classes\":10}",
        "{\"trainyard_model\":1,\"architecture\":\"mlp\",\"num_classes\":10,"
        "\"input\":{\"channels\":1,\"height\":1e99,\"width\":28}}",
        "{\"trainyard_model\":1,\"architecture\":\"mlp\",\"num_classes\":10,"
        "\"hidden_sizes\":[-1],"
        "\"input\":{\"channels\":1,\"height\":28,\"width\":28}}"}) {
    folder.Write("model.json", text);
    EXPECT_EQ(LoadModel(folder.path()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(Weights, OfAnotherHeadNameBothShapes) {
  data::TempFolder folder;
  const ModelPlan theirs = Plan("resnet18", 1000, {3, 32, 32});
  ASSERT_TRUE(
      SaveModel(folder.path(), Describe(theirs), **BuildModel(theirs)).ok());
  const ModelPlan ours = Plan("resnet18", 10, {3, 32, 32});
  const auto model = *BuildModel(ours);
  const absl::Status status =
      LoadWeights(folder.path() + "/model.safetensors", ours, model.get());
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("fc.weight is [1000, 512] in the file, [10, 512]"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("training.model.num_classes"));
}

TEST(Weights, MayComeFromAnOldFileWithoutCounters) {
  data::TempFolder folder;
  const ModelPlan plan = Plan("resnet18", 10, {3, 32, 32});
  NamedTensors state = StateOf(**BuildModel(plan));
  for (auto it = state.begin(); it != state.end();) {
    it = it->first.ends_with("num_batches_tracked") ? state.erase(it)
                                                    : std::next(it);
  }
  TensorFileContent content;
  content.Add("", state);
  const std::string path = folder.path() + "/w.safetensors";
  ASSERT_TRUE(data::WriteSafetensors(path, content.views(), {}).ok());
  const auto model = *BuildModel(plan);
  ASSERT_TRUE(LoadWeights(path, plan, model.get()).ok());
  EXPECT_TRUE(
      torch::equal(StateOf(*model).at("conv1.weight"), state["conv1.weight"]));
}

TEST(Weights, ListWhatIsMissingAndUnknown) {
  data::TempFolder folder;
  const ModelPlan plan = Plan("mlp", 10, {1, 28, 28});
  TensorFileContent content;
  content.Add("", {{"layers.0.weight", torch::zeros({128, 784})},
                   {"layers.0.bias", torch::zeros({128}, torch::kInt32)},
                   {"stranger", torch::zeros({1})}});
  const std::string path = folder.path() + "/w.safetensors";
  ASSERT_TRUE(data::WriteSafetensors(path, content.views(), {}).ok());
  const std::string message(
      LoadWeights(path, plan, BuildModel(plan)->get()).message());
  EXPECT_THAT(message, HasSubstr("layers.0.bias is I32 in the file, F32 here"));
  EXPECT_THAT(message, HasSubstr("layers.1.weight is missing in the file"));
  EXPECT_THAT(message, HasSubstr("stranger is in the file but not known here"));
}

TEST(Predict, WritesTheLogits) {
  data::TempFolder folder;
  const ModelPlan plan = Plan("mnist_cnn", 10, {1, 28, 28});
  const auto model = *BuildModel(plan);
  ASSERT_TRUE(SaveModel(folder.path(), Describe(plan), *model).ok());
  const torch::Tensor images = torch::randn({70, 1, 28, 28});
  TensorFileContent content;
  content.Add("", {{"input", images}});
  const PredictOptions options = {.model_dir = folder.path(),
                                  .input = folder.path() + "/in.safetensors",
                                  .output = folder.path() + "/out.safetensors"};
  ASSERT_TRUE(data::WriteSafetensors(options.input, content.views(), {}).ok());
  ASSERT_TRUE(Predict(options).ok());
  const auto file = data::SafetensorsFile::Open(options.output);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(torch::allclose(ToTensor(*file->Find("logits")),
                              model->forward(images), 1e-5, 1e-5));
}

TEST(Predict, NamesAnInputOfTheWrongShape) {
  data::TempFolder folder;
  const ModelPlan plan = Plan("mnist_cnn", 10, {1, 28, 28});
  ASSERT_TRUE(
      SaveModel(folder.path(), Describe(plan), **BuildModel(plan)).ok());
  TensorFileContent content;
  content.Add("", {{"input", torch::zeros({1, 3, 28, 28})}});
  const std::string input = folder.path() + "/in.safetensors";
  ASSERT_TRUE(data::WriteSafetensors(input, content.views(), {}).ok());
  EXPECT_THAT(
      Predict({folder.path(), input, folder.path() + "/out"}).ToString(),
      HasSubstr("input is F32 [1, 3, 28, 28]; it must be F32 [N, 1, 28, 28]"));
}

}  // namespace
}  // namespace trainyard::runner
