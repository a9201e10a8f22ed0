#include "workers/runner/ensemble/inference_model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/InferenceMode.h>
#include <torch/script.h>

#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/data/test_files.h"
#include "workers/runner/ensemble/onednn_arena.h"
#include "workers/runner/ensemble/onednn_plan.h"
#include "workers/runner/models/model.h"
#include "workers/runner/models/registry.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {
namespace {

using testing::HasSubstr;

// A model with running statistics of its own, in eval mode.
std::shared_ptr<ImageModel> SomeModel(const ModelPlan& plan) {
  torch::manual_seed(4);
  auto model = *BuildModel(plan);
  const torch::NoGradGuard no_grad;
  for (auto& buffer : model->named_buffers()) {
    if (buffer.value().is_floating_point()) {
      buffer.value().uniform_(0.5, 1.5);
    }
  }
  model->eval();
  return model;
}

MemberOptions Saved(const data::TempFolder& folder, const ModelPlan& plan,
                    const ImageModel& model) {
  MemberOptions member;
  member.name = "first";
  member.model.architecture = plan.architecture;
  member.model.hidden_sizes = plan.hidden_sizes;
  member.model.weights = absl::StrCat(folder.path(), "/model.safetensors");
  TensorFileContent content;
  content.Add("", StateOf(model));
  EXPECT_TRUE(
      data::WriteSafetensors(member.model.weights, content.views(), {}).ok());
  return member;
}

at::Tensor Images(int64_t samples, const data::SampleShape& shape) {
  torch::manual_seed(9);
  return at::randn({samples, shape.channels, shape.height, shape.width});
}

void ExpectSameProbabilities(const at::Tensor& ours, const at::Tensor& theirs) {
  ASSERT_EQ(ours.sizes(), theirs.sizes());
  const at::Tensor probabilities = at::softmax(theirs, 1);
  EXPECT_LE((at::softmax(ours, 1) - probabilities).abs().max().item<float>(),
            1e-5f);
  EXPECT_GT(probabilities.std().item<float>(), 1e-3f) << "all are the same";
}

TEST(InferenceModel, GivesWhatThePlainModelGives) {
  const ModelPlan plans[] = {{"resnet18", {}, 10, {3, 40, 36}},
                             {"resnet18", {}, 7, {1, 28, 28}},
                             // Its last layers take larger blocks.
                             {"resnet18", {}, 5, {3, 160, 128}},
                             {"mnist_cnn", {}, 10, {1, 28, 28}},
                             {"mlp", {32, 16}, 10, {3, 8, 8}}};
  for (const ModelPlan& plan : plans) {
    data::TempFolder folder;
    const auto plain = SomeModel(plan);
    const auto model = InferenceModel::Load(
        Saved(folder, plan, *plain),
        {.shape = plan.input, .num_classes = plan.num_classes});
    ASSERT_TRUE(model.ok()) << model.status();
    const c10::InferenceMode inference;
    // More than fit a block, a part of one, and one.
    for (const int64_t samples : {64, 37, 5, 1}) {
      const at::Tensor images = Images(samples, plan.input);
      const at::Tensor before = images.clone();
      ExpectSameProbabilities((*model)->Logits(images), plain->forward(images));
      EXPECT_TRUE(at::equal(images, before));
    }
    EXPECT_EQ((*model)->direct(), OnednnPlan::Built()) << plan.architecture;
    EXPECT_FALSE((*model)->has_dropout());
    EXPECT_EQ((*model)->num_classes(), plan.num_classes);
    int64_t parameters = 0;
    for (const auto& one : plain->parameters()) parameters += one.numel();
    EXPECT_EQ((*model)->parameters(), parameters);
    EXPECT_GE((*model)->bytes(), parameters * 4);
  }
}

TEST(InferenceModel, GivesTheSameTwice) {
  const ModelPlan plan{"resnet18", {}, 10, {3, 32, 32}};
  data::TempFolder folder;
  const MemberOptions member = Saved(folder, plan, *SomeModel(plan));
  const auto one = *InferenceModel::Load(member, {.shape = plan.input});
  const auto two = *InferenceModel::Load(member, {.shape = plan.input});
  const c10::InferenceMode inference;
  const at::Tensor images = Images(20, plan.input);
  const at::Tensor first = one->Logits(images);
  EXPECT_TRUE(at::equal(first, one->Logits(images)));
  EXPECT_TRUE(at::equal(first, two->Logits(images)));
}

// --- TorchScript ----------------------------------------------------------

// A convolution with batch normalisation whose dropout layer is `dropout`.
torch::jit::Module Scripted(double p, const std::string& forward) {
  const auto unit = std::make_shared<torch::jit::CompilationUnit>();
  torch::jit::Module dropout("__torch__.torch.nn.modules.dropout.Dropout",
                             unit);
  dropout.register_attribute("p", c10::FloatType::get(), p);
  dropout.register_attribute("training", c10::BoolType::get(), true);
  dropout.define(
      "def forward(self, x):\n  return torch.dropout(x, self.p, "
      "self.training)\n");
  torch::jit::Module module("__torch__.Net", unit);
  torch::manual_seed(2);
  module.register_attribute("training", c10::BoolType::get(), true);
  module.register_parameter("conv", torch::randn({8, 3, 3, 3}), false);
  module.register_parameter("gamma", torch::rand({8}) + 0.5, false);
  module.register_parameter("beta", torch::randn({8}), false);
  module.register_buffer("mean", torch::randn({8}));
  module.register_buffer("variance", torch::rand({8}) + 0.5);
  module.register_parameter("head", torch::randn({5, 8 * 36}) * 0.1, false);
  module.register_module("dropout", dropout);
  module.define(forward);
  return module;
}

constexpr char kForward[] = R"(
def forward(self, x):
  y = torch.conv2d(x, self.conv)
  y = torch.batch_norm(y, self.gamma, self.beta, self.mean, self.variance, self.training, 0.1, 1e-5, False)
  y = torch.relu_(y)
  y = self.dropout.forward(y)
  return torch.linear(y.view(y.size(0), -1), self.head)
)";
constexpr data::SampleShape kShape{3, 8, 8};

MemberOptions Saved(const data::TempFolder& folder,
                    const torch::jit::Module& module) {
  MemberOptions member;
  member.name = "second";
  member.torchscript = absl::StrCat(folder.path(), "/net.pt");
  module.save(member.torchscript);
  return member;
}

TEST(TorchScriptModel, GivesWhatTheModuleGives) {
  // The second forward is none that oneDNN takes.
  for (const bool known : {true, false}) {
    data::TempFolder folder;
    std::string forward = kForward;
    if (!known) {
      forward.replace(forward.find("torch.relu_(y)"), 14, "torch.tanh(y)");
    }
    torch::jit::Module plain = Scripted(0.5, forward);
    const auto model =
        InferenceModel::Load(Saved(folder, plain), {.shape = kShape});
    ASSERT_TRUE(model.ok()) << model.status();
    plain.eval();
    const c10::InferenceMode inference;
    const at::Tensor images = Images(40, kShape);
    ExpectSameProbabilities((*model)->Logits(images),
                            plain.forward({images}).toTensor());
    EXPECT_EQ((*model)->direct(), known && OnednnPlan::Built());
    EXPECT_EQ((*model)->num_classes(), 5);
    EXPECT_EQ((*model)->parameters(), 8 * 27 + 16 + 5 * 8 * 36);
  }
}

TEST(TorchScriptModel, DrawsDropoutMasksFromTheGeneratorItIsGiven) {
  data::TempFolder folder;
  torch::jit::Module plain = Scripted(0.5, kForward);
  const auto model = InferenceModel::Load(
      Saved(folder, plain), {.shape = kShape, .mc_dropout = true});
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE((*model)->has_dropout());
  const c10::InferenceMode inference;
  const at::Tensor images = Images(16, kShape);
  const auto draw = [&](uint64_t seed) {
    at::Generator generator = at::detail::createCPUGenerator(seed);
    return (*model)->LogitsWithDropout(images, generator);
  };
  EXPECT_TRUE(at::equal(draw(1), draw(1)));
  EXPECT_FALSE(at::equal(draw(1), draw(2)));
  // Only a linear layer follows, so that the mean over masks is eval mode's:
  // within six standard errors.
  at::Generator generator = at::detail::createCPUGenerator(3);
  std::vector<at::Tensor> draws;
  for (int i = 0; i < 2000; ++i) {
    draws.push_back((*model)->LogitsWithDropout(images, generator));
  }
  const at::Tensor all = at::stack(draws);
  const at::Tensor error = all.std(0) / std::sqrt(2000.0);
  const at::Tensor gap = (all.mean(0) - (*model)->Logits(images)).abs();
  EXPECT_TRUE((gap <= 6 * error).all().item<bool>());
  EXPECT_GT(error.min().item<float>(), 0);
}

TEST(TorchScriptModel, HasNoDropoutWhereNothingIsDropped) {
  data::TempFolder folder;
  const auto model =
      *InferenceModel::Load(Saved(folder, Scripted(0, kForward)),
                            {.shape = kShape, .mc_dropout = true});
  EXPECT_FALSE(model->has_dropout());
  const c10::InferenceMode inference;
  const at::Tensor images = Images(3, kShape);
  EXPECT_TRUE(at::equal(
      model->LogitsWithDropout(images, at::detail::createCPUGenerator(1)),
      model->Logits(images)));
}

// --- what is refused ------------------------------------------------------

void ExpectRefused(const MemberOptions& member, const InferenceOptions& options,
                   const std::string& why) {
  const auto model = InferenceModel::Load(member, options);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(model.status().ToString(),
              HasSubstr(absl::StrCat("member \"", member.name, "\"")));
  EXPECT_THAT(model.status().ToString(), HasSubstr(why));
}

TEST(InferenceModel, RefusesWhatDoesNotFitTheData) {
  data::TempFolder folder;
  const ModelPlan plan{"mnist_cnn", {}, 10, {1, 28, 28}};
  const MemberOptions member = Saved(folder, plan, *SomeModel(plan));
  ExpectRefused(member, {.shape = {1, 28, 28}, .num_classes = 7},
                "are for 10 classes, but there are 7");
  ExpectRefused(member, {.shape = {3, 32, 32}},
                "model.architecture is mnist_cnn, which takes samples of "
                "1x28x28");
  MemberOptions without = member;
  without.model.weights.clear();
  ExpectRefused(without, {.shape = {1, 28, 28}}, "model.weights is not set");
  MemberOptions other = member;
  other.model.architecture = "resnet18";
  ExpectRefused(other, {.shape = {1, 28, 28}, .num_classes = 10},
                "do not fit resnet18");
}

TEST(InferenceModel, RefusesWhatItsDescriptionDoesNotSay) {
  data::TempFolder folder;
  const ModelPlan plan{"mnist_cnn", {}, 10, {1, 28, 28}};
  MemberOptions member = Saved(folder, plan, *SomeModel(plan));
  member.config = absl::StrCat(folder.path(), "/model.json");
  const auto describe = [&](const std::string& text) {
    std::ofstream(member.config) << text;
  };
  describe(R"({"trainyard_model": 1, "architecture": "mnist_cnn",
      "num_classes": 10, "input": {"channels": 1, "height": 28, "width": 28}})");
  const auto model = InferenceModel::Load(member, {.shape = plan.input});
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE((*model)->description().has_value());
  EXPECT_EQ((*model)->description()->plan.num_classes, 10);
  ExpectRefused(member, {.shape = {1, 32, 32}},
                "takes samples of 1x28x28 (channels x height x width)");
  ExpectRefused(member, {.shape = plan.input, .num_classes = 4},
                "the data has 4 classes");
  describe(R"({"trainyard_model": 1, "architecture": "mlp",
      "num_classes": 10, "input": {"channels": 1, "height": 28, "width": 28}})");
  ExpectRefused(member, {.shape = plan.input}, "describes a \"mlp\"");
}

TEST(TorchScriptModel, RefusesFilesAndModulesThatDoNotFit) {
  data::TempFolder folder;
  MemberOptions member = Saved(folder, Scripted(0.5, kForward));
  ExpectRefused(member, {.shape = kShape, .num_classes = 10},
                "gives 5 classes, but there are 10");
  ExpectRefused(member, {.shape = {1, 8, 8}},
                "does not take samples of 1x8x8 (channels x height x width)");
  const MemberOptions flat = Saved(folder, [] {
    torch::jit::Module module("__torch__.Flat");
    module.define("def forward(self, x):\n  return x.sum()\n");
    return module;
  }());
  ExpectRefused(flat, {.shape = kShape}, "it must be logits, [2, classes]");
  std::ofstream(member.torchscript) << "not a zip file";
  ExpectRefused(member, {.shape = kShape}, "is not a TorchScript module");
  member.torchscript += ".gone";
  ExpectRefused(member, {.shape = kShape}, "is not a TorchScript module");
}

TEST(Arena, NeverGivesBytesThatAreTaken) {
  onednn::Arena arena;
  std::map<size_t, size_t> live;
  uint64_t state = 1;
  for (int i = 0; i < 2000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    if (live.size() > 20 || (!live.empty() && (state >> 60) < 7)) {
      arena.Give(live.begin()->first);
      live.erase(live.begin());
      continue;
    }
    const size_t bytes = (state >> 33) % 5000 + 1;
    const size_t offset = arena.Take(bytes);
    EXPECT_EQ(offset % onednn::Arena::kAlignment, 0u);
    for (const auto& [begin, size] : live) {
      EXPECT_TRUE(offset + bytes <= begin || begin + size <= offset);
    }
    live[offset] = bytes;
    EXPECT_GE(arena.size(), offset + bytes);
  }
  EXPECT_LT(arena.size(), 22u * 2 * 5056);
}

}  // namespace
}  // namespace trainyard::runner
