#include "workers/runner/ensemble/ensemble_loop.h"

#include <torch/script.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runner/data/file.h"
#include "workers/runner/data/loader.h"
#include "workers/runner/data/sampler.h"
#include "workers/runner/ensemble/ensemble_job.h"
#include "workers/runner/ensemble/outputs.h"
#include "workers/runner/images.h"
#include "workers/runner/model_file.h"
#include "workers/runner/predict.h"
#include "workers/runner/results.h"
#include "workers/runner/tensors.h"
#include "workers/runner/testing.h"

namespace trainyard::runner {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint32_t kSamples = 50;
const data::SampleShape kShape{1, 28, 28};

// Builds members in its folder and runs ensembles of them on 50 samples of four
// classes, 16 to a batch.
class EnsembleTest : public testing::Test {
 protected:
  EnsembleTest() {
    WriteQuadrants(folder_, 60, kSamples);
    spec_ = QuadrantsSpec(folder_, "work", "");
    spec_.devices = {spec_.device};
    EnsembleOptions& ensemble = spec_.ensemble.emplace();
    ensemble.data = spec_.training.data;
    ensemble.batch_size = 16;
    ensemble.outputs = {OutputFormat::kJsonl, OutputFormat::kNpy};
  }

  // A small network of this seed, saved as training does; not added.
  MemberOptions Saved(const std::string& name, uint64_t seed,
                      int64_t classes = 4) {
    ModelDescription description = {.plan = {"mlp", {16}, classes, kShape},
                                    .normalization = {{0.25f}, {0.5f}},
                                    .class_names = {"3", "2", "1", "0"}};
    torch::manual_seed(seed);
    auto model = *BuildModel(description.plan);
    folder_.MakeFolder(name);
    const std::string place = absl::StrCat(folder_.path(), "/", name);
    EXPECT_TRUE(SaveModel(place, description, *model).ok());
    MemberOptions member;
    member.name = name;
    member.model.architecture = "mlp";
    member.model.hidden_sizes = {16};
    member.model.weights = absl::StrCat(place, "/", kWeightsFile);
    return member;
  }
  MemberOptions WithConfig(MemberOptions member) {
    member.config =
        absl::StrCat(folder_.path(), "/", member.name, "/", kDescriptionFile);
    return member;
  }
  // A linear layer behind dropout; forward's last line is `result`.
  MemberOptions Scripted(const std::string& name, uint64_t seed,
                         const std::string& result = "y") {
    torch::jit::Module dropout("__torch__.torch.nn.modules.dropout.Dropout");
    dropout.register_attribute("p", c10::FloatType::get(), 0.5);
    dropout.register_attribute("training", c10::BoolType::get(), true);
    dropout.define(
        "def forward(self, x):\n  return torch.dropout(x, self.p, "
        "self.training)\n");
    torch::jit::Module module("__torch__.Net");
    torch::manual_seed(seed);
    module.register_attribute("training", c10::BoolType::get(), true);
    module.register_parameter("head", torch::randn({4, 784}) * 0.05, false);
    module.register_module("dropout", dropout);
    module.define(absl::StrCat(
        "def forward(self, x):\n"
        "  y = torch.linear(self.dropout.forward(x.reshape(x.size(0), -1)), "
        "self.head)\n  return ",
        result, "\n"));
    MemberOptions member;
    member.name = name;
    member.torchscript = absl::StrCat(folder_.path(), "/", name, ".pt");
    module.save(member.torchscript);
    return member;
  }

  TestRun Run(std::vector<MemberOptions> members, uint64_t stop_at = 0) {
    spec_.ensemble->members = std::move(members);
    return RunSpec(spec_, stop_at);
  }
  std::string ErrorOf(std::vector<MemberOptions> members) {
    const TestRun run = Run(std::move(members));
    return run.end.ok() ? "" : std::string(run.end.status().message());
  }

  std::string Output(const std::string& name) const {
    return FileContent(absl::StrCat(spec_.work_dir, "/output/", name));
  }
  std::vector<json> Predictions() const {
    std::vector<json> lines;
    for (const absl::string_view line :
         absl::StrSplit(Output(kJsonlFile), '\n', absl::SkipEmpty())) {
      lines.push_back(json::parse(line.begin(), line.end()));
    }
    return lines;
  }
  torch::Tensor Probabilities() const {
    const std::string content = Output(kProbabilitiesFile);
    torch::Tensor values = torch::empty({kSamples, 4});
    EXPECT_GE(content.size(), values.nbytes());
    std::memcpy(values.data_ptr(),
                content.data() + content.size() - values.nbytes(),
                values.nbytes());
    return values;
  }
  json Report() const { return json::parse(Output(kReportFile)); }

  data::TempFolder folder_;
  Spec spec_;
};

TEST_F(EnsembleTest, OneMemberPredictsWhatPredictDoes) {
  const MemberOptions member = WithConfig(Saved("a", 1));
  const TestRun run = Run({member});
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_EQ(*run.end, RunEnd::kFinished);

  auto part = data::OpenForPrediction(spec_.ensemble->data);
  ASSERT_TRUE(part.ok()) << part.status();
  ASSERT_EQ(part->samples->num_samples(), kSamples);
  data::Loader loader(*part->samples, {.batch_size = kSamples});
  ASSERT_TRUE(loader.Start(data::SequentialOrder(kSamples)).ok());
  const ImageFeed feed({.shape = kShape, .normalization = {{0.25f}, {0.5f}}});
  TensorFileContent input;
  input.Add("", {{"input", feed.ForValidation(**loader.Next()).images}});
  const std::string in = folder_.path() + "/in.safetensors";
  const std::string out = folder_.path() + "/out.safetensors";
  ASSERT_TRUE(data::WriteSafetensors(in, input.views(), {}).ok());
  ASSERT_TRUE(
      Predict({.model_dir = folder_.path() + "/a", .input = in, .output = out})
          .ok());
  const auto file = data::SafetensorsFile::Open(out);
  ASSERT_TRUE(file.ok());
  const torch::Tensor logits = ToTensor(*file->Find("logits"));
  const torch::Tensor expected = torch::softmax(logits, 1);
  EXPECT_LT((Probabilities() - expected).abs().max().item<float>(), 1e-5f);
  EXPECT_GT(expected.std().item<float>(), 0.01f) << "all are the same";
}

TEST_F(EnsembleTest, SaysHowItGoesAndWhatItLeaves) {
  const TestRun run =
      Run({WithConfig(Saved("a", 1)), Saved("b", 2), Scripted("c", 3)});
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  const std::vector<json> started = run.Of("started");
  ASSERT_EQ(started.size(), 1);
  EXPECT_EQ(started[0]["step"], 0);
  EXPECT_EQ(started[0]["total_steps"], 4);  // 16, 16, 16 and 2 samples
  const int64_t mlp = 784 * 16 + 16 + 16 * 4 + 4;
  EXPECT_EQ(started[0]["parameters"], 2 * mlp + 784 * 4);
  EXPECT_EQ(started[0]["device"], "cpu");
  const json last = run.Of("metrics").back();
  EXPECT_EQ(last["step"], 4);
  EXPECT_FALSE(last.contains("loss"));
  const json finished = run.Of("finished").at(0);
  EXPECT_EQ(finished["outputs"],
            json({kJsonlFile, kProbabilitiesFile, kUncertaintyFile,
                  kMetricsFile, kReportFile}));

  // The dataset's classes are called 0 to 3, those of the members 3 to 0.
  const std::vector<json> predictions = Predictions();
  ASSERT_EQ(predictions.size(), kSamples);
  int correct = 0;
  for (size_t i = 0; i < kSamples; ++i) {
    const json& one = predictions[i];
    EXPECT_EQ(one["index"], i);
    EXPECT_EQ(one["label"], 3 - i % 4);
    EXPECT_EQ(one["class"], absl::StrCat(3 - one["prediction"].get<int>()));
    EXPECT_GE(one["epistemic"], 0);
    EXPECT_NEAR(one["entropy"].get<double>(),
                one["aleatoric"].get<double>() + one["epistemic"].get<double>(),
                1e-6);
    correct += one["label"] == one["prediction"];
  }
  const json report = Report();
  EXPECT_EQ(report["samples"], kSamples);
  EXPECT_EQ(report["labelled_samples"], kSamples);
  EXPECT_NEAR(report["accuracy"], correct / 50.0, 1e-12);
  EXPECT_EQ(last["validation_accuracy"], report["accuracy"]);
  for (const char* name : {"nll", "brier", "ece"}) {
    EXPECT_GT(report[name].get<double>(), 0) << name;
    EXPECT_GT(report["members"][2][name].get<double>(), 0) << name;
  }
  EXPECT_EQ(report["members"][1]["parameters"], mlp);
  EXPECT_EQ(report["members"][2]["architecture"], "torchscript");
}

TEST_F(EnsembleTest, FusesWhatItsMembersSayAlone) {
  const MemberOptions a = Saved("a", 1);
  const MemberOptions b = Saved("b", 2);
  ASSERT_TRUE(Run({a}).end.ok());
  const torch::Tensor of_a = Probabilities();
  ASSERT_TRUE(Run({b}).end.ok());
  const torch::Tensor of_b = Probabilities();
  ASSERT_GT((of_a - of_b).abs().max().item<float>(), 0.01f);
  ASSERT_TRUE(Run({a, b}).end.ok());
  EXPECT_LT(((of_a + of_b) / 2 - Probabilities()).abs().max().item<float>(),
            1e-6f);
}

TEST_F(EnsembleTest, SameSeedSamePredictionsWithDropoutOn) {
  const std::vector<MemberOptions> members = {Scripted("a", 1), Saved("b", 2),
                                              Scripted("c", 3)};
  spec_.ensemble->mc_samples = 5;
  spec_.ensemble->seed = 7;
  ASSERT_TRUE(Run(members).end.ok());
  const torch::Tensor first = Probabilities();
  EXPECT_EQ(Report()["members"][0]["passes"], 5);
  EXPECT_EQ(Report()["members"][1]["passes"], 1);
  EXPECT_GT(Report()["mean_uncertainty"]["epistemic"], 0.0);
  // However many run at once.
  spec_.ensemble->threads = 3;
  ASSERT_TRUE(Run(members).end.ok());
  EXPECT_TRUE(torch::equal(Probabilities(), first));
  spec_.ensemble->seed = 8;
  ASSERT_TRUE(Run(members).end.ok());
  EXPECT_FALSE(torch::allclose(Probabilities(), first));
}

TEST_F(EnsembleTest, HoldsFewBatchesHoweverManyThereAre) {
  spec_.ensemble->batch_size = 1;
  spec_.ensemble->threads = 2;
  const TestRun run = Run({Saved("a", 1), Saved("b", 2), Saved("c", 3)});
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_EQ(Report()["steps"], kSamples);
  EXPECT_EQ(Report()["members_at_once"], 2);
  EXPECT_LE(Report()["batches_at_once"], 4);
  EXPECT_GE(Report()["batches_at_once"], 2);
}

TEST_F(EnsembleTest, PredictsTheFirstSamplesOnly) {
  spec_.ensemble->data.max_samples = 5;
  ASSERT_TRUE(Run({Saved("a", 1)}).end.ok());
  const std::vector<json> predictions = Predictions();
  ASSERT_EQ(predictions.size(), 5);
  EXPECT_EQ(predictions[3]["label"], 3);
}

TEST_F(EnsembleTest, TellsNoAccuracyWithoutLabels) {
  const std::vector<MemberOptions> members = {WithConfig(Saved("a", 1)),
                                              Saved("b", 2)};
  ASSERT_TRUE(Run(members).end.ok());
  const torch::Tensor with_labels = Probabilities();
  for (const char* part : {"train", "t10k"}) {
    ASSERT_TRUE(std::filesystem::remove(
        absl::StrCat(folder_.path(), "/data/", part, "-labels-idx1-ubyte")));
  }
  const TestRun run = Run(members);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_TRUE(torch::equal(Probabilities(), with_labels));
  const std::vector<json> predictions = Predictions();
  ASSERT_EQ(predictions.size(), kSamples);
  for (const json& one : predictions) {
    EXPECT_FALSE(one.contains("label"));
    EXPECT_EQ(one["class"], absl::StrCat(3 - one["prediction"].get<int>()));
  }
  for (const json& point : run.Of("metrics")) {
    EXPECT_FALSE(point.contains("validation_accuracy"));
    EXPECT_FALSE(point.contains("validation_loss"));
  }
  json report = Report();
  EXPECT_EQ(report["samples"], kSamples);
  EXPECT_EQ(report["labelled_samples"], 0);
  for (const char* name : {"accuracy", "nll", "brier", "ece"}) {
    EXPECT_FALSE(report.contains(name)) << name;
    EXPECT_FALSE(report["members"][0].contains(name)) << name;
  }
}

TEST_F(EnsembleTest, PredictsAFolderOfImagesWithoutClasses) {
  folder_.MakeFolder("images");
  for (int i = 0; i < 3; ++i) {
    folder_.Write(absl::StrCat("images/", i, ".png"),
                  data::EncodePng(data::MakeImage(
                      12, 12, 3, [i](int, int, int c) { return 60 * i + c; })));
  }
  spec_.ensemble->data = {.format = data::DataFormat::kImageFolder,
                          .path = folder_.path() + "/images",
                          .image_size = 16};
  // The mean of each colour is a class.
  torch::jit::Module module("__torch__.Colour");
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define("def forward(self, x):\n  return x.mean([2, 3])\n");
  MemberOptions colour;
  colour.name = "colour";
  colour.torchscript = folder_.path() + "/colour.pt";
  module.save(colour.torchscript);
  // Whether they lie in the folder itself or in the only one in it.
  for (const char* prefix : {"", "images/"}) {
    spec_.ensemble->data.path =
        folder_.path() + (*prefix == '\0' ? "/images" : "/outer");
    if (*prefix != '\0') {
      folder_.MakeFolder("outer");
      std::filesystem::rename(folder_.path() + "/images",
                              folder_.path() + "/outer/images");
    }
    const TestRun run = Run({colour});
    ASSERT_TRUE(run.end.ok()) << run.end.status();
    const std::vector<json> predictions = Predictions();
    ASSERT_EQ(predictions.size(), 3);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(predictions[i]["sample"], absl::StrCat(prefix, i, ".png"));
      EXPECT_FALSE(predictions[i].contains("label"));
      EXPECT_FALSE(predictions[i].contains("class"));
    }
    for (const json& point : run.Of("metrics")) {
      EXPECT_FALSE(point.contains("validation_accuracy"));
      EXPECT_FALSE(point.contains("validation_loss"));
    }
    EXPECT_FALSE(Report().contains("accuracy"));
    EXPECT_EQ(Report()["labelled_samples"], 0);
  }
}

TEST_F(EnsembleTest, StopsWithoutACheckpoint) {
  const TestRun run = Run({Saved("a", 1)}, /*stop_at=*/2);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_EQ(*run.end, RunEnd::kStopped);
  ASSERT_EQ(run.Of("stopped").size(), 1);
  EXPECT_EQ(run.Of("stopped")[0]["step"], 0);
  EXPECT_TRUE(run.Of("checkpoint").empty());
  EXPECT_TRUE(data::ListFolder(spec_.work_dir + "/output")->empty());
}

TEST_F(EnsembleTest, RefusesMembersThatDoNotFit) {
  const MemberOptions good = Saved("good", 1);
  EXPECT_THAT(ErrorOf({good, Saved("more", 2, 5)}),
              HasSubstr("\"good\" has 4 classes, \"more\" has 5"));
  MemberOptions gone = good;
  gone.model.weights = folder_.path() + "/gone.safetensors";
  EXPECT_THAT(ErrorOf({gone}), AllOf(HasSubstr("member \"good\""),
                                     HasSubstr("gone.safetensors")));
  MemberOptions corrupt = Scripted("corrupt", 1);
  folder_.Write("corrupt.pt", "PK\x03\x04 but no archive");
  EXPECT_THAT(ErrorOf({good, corrupt}),
              AllOf(HasSubstr("member \"corrupt\""), HasSubstr("corrupt.pt")));
  EXPECT_THAT(ErrorOf({Scripted("flat", 1, "y.flatten()")}),
              HasSubstr("member \"flat\""));
  EXPECT_THAT(ErrorOf({WithConfig(good), WithConfig(Saved("other", 2))}), "");
}

TEST_F(EnsembleTest, NamesTheMemberAndTheSampleOfALogitThatIsNotFinite) {
  EXPECT_THAT(
      ErrorOf({Saved("good", 1),
               Scripted("bad", 1, "y / 0. if x.size(0) == 2 else y")}),
      HasSubstr("member \"bad\": it gives NaN or infinite logits for sample "
                "48"));
}

TEST(MatchClassesTest, GoesByNamesWhereThereAreSome) {
  const auto by_name = MatchClasses({"cat", "cow"}, {"cow", "dog", "cat"}, 3);
  ASSERT_TRUE(by_name.ok());
  EXPECT_THAT(*by_name, ElementsAre(2, 0));
  const auto unknown = MatchClasses({"hen"}, {"cow", "dog"}, 2);
  ASSERT_TRUE(unknown.ok());
  EXPECT_THAT(*unknown, ElementsAre(kNoLabel));
  const auto by_number = MatchClasses({"cat", "cow"}, {}, 3);
  ASSERT_TRUE(by_number.ok());
  EXPECT_THAT(*by_number, ElementsAre(0, 1));
  EXPECT_EQ(MatchClasses({"a", "b", "c"}, {}, 2).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(MatchClassesTest, TheOnlyClassIsNoneWhereNothingNamesIt) {
  EXPECT_THAT(*MatchClasses({"photos"}, {}, 3), ElementsAre(kNoLabel));
  EXPECT_THAT(*MatchClasses({"photos"}, {"cat", "cow"}, 2),
              ElementsAre(kNoLabel));
  EXPECT_THAT(*MatchClasses({"cow"}, {"cat", "cow"}, 2), ElementsAre(1));
  EXPECT_THAT(*MatchClasses({"0"}, {}, 3), ElementsAre(0));  // IDX
  EXPECT_THAT(*MatchClasses({"photos"}, {}, 1), ElementsAre(0));
}

}  // namespace
}  // namespace trainyard::runner
