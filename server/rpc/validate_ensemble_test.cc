#include "server/rpc/validate_ensemble.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "server/rpc/validate.h"

namespace trainyard::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;
using Ensemble = v1::EnsembleInferenceSpec;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
const char kArtifact[] =
    "sha256:"
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

// One member of each kind.
Ensemble GoodEnsemble() {
  Ensemble ensemble;
  v1::ModelSpec* model = ensemble.add_members()->mutable_model();
  model->set_architecture("mlp");
  model->mutable_weights()->set_path("/models/a.safetensors");
  ensemble.add_members()->mutable_torchscript()->set_artifact(kArtifact);
  ensemble.add_members()->set_job("jobs/17");
  ensemble.mutable_data()->set_format(v1::DataSpec::FORMAT_IDX);
  ensemble.mutable_data()->mutable_source()->set_path("/data/mnist");
  return ensemble;
}

TEST(ValidateEnsemble, FillsInEveryDefault) {
  v1::JobSpec spec;
  *spec.mutable_ensemble() = GoodEnsemble();
  const absl::Status status = ValidateAndComplete(&spec);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(spec.name(), "ensemble");
  EXPECT_EQ(spec.resources().devices_size(), 3);
  const Ensemble& ensemble = spec.ensemble();
  EXPECT_EQ(ensemble.members(0).name(), "member-1");
  EXPECT_EQ(ensemble.members(2).name(), "member-3");
  EXPECT_THAT(ensemble.members(0).model().hidden_sizes(), ElementsAre(128u));
  EXPECT_EQ(ensemble.fusion(), Ensemble::FUSION_MEAN);
  EXPECT_EQ(ensemble.mc_samples(), 1u);
  EXPECT_EQ(ensemble.batch_size(), 64u);
  EXPECT_THAT(ensemble.outputs(), ElementsAre(Ensemble::OUTPUT_FORMAT_JSONL));
  EXPECT_FALSE(ensemble.members(0).has_weight());
}

TEST(ValidateEnsemble, GivesWeightsWhereTheyCount) {
  Ensemble ensemble = GoodEnsemble();
  ensemble.set_fusion(Ensemble::FUSION_WEIGHTED);
  ensemble.mutable_members(1)->set_weight(0);
  ASSERT_TRUE(ValidateAndComplete(&ensemble).ok());
  EXPECT_EQ(ensemble.members(0).weight(), 1);
  EXPECT_EQ(ensemble.members(1).weight(), 0);
}

TEST(ValidateEnsemble, ChangesNothingTheSecondTime) {
  Ensemble ensemble = GoodEnsemble();
  ASSERT_TRUE(ValidateAndComplete(&ensemble).ok());
  Ensemble again = ensemble;
  ASSERT_TRUE(ValidateAndComplete(&again).ok());
  EXPECT_TRUE(
      google::protobuf::util::MessageDifferencer::Equals(ensemble, again));
}

struct Case {
  std::function<void(Ensemble&)> change;
  std::string error;  // how it starts; empty: none
};

void Check(const std::vector<Case>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i << ": " << cases[i].error);
    Ensemble ensemble = GoodEnsemble();
    cases[i].change(ensemble);
    const absl::Status status = ValidateAndComplete(&ensemble);
    if (cases[i].error.empty()) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), StartsWith(cases[i].error));
    }
  }
}

void AddJobs(Ensemble& ensemble, int count) {
  while (ensemble.members_size() < count) {
    ensemble.add_members()->set_job(absl::StrCat("jobs/", 100));
  }
}

TEST(ValidateEnsemble, ChecksWhatAllMembersShare) {
  Check({
      {[](auto& e) { e.clear_members(); },
       "ensemble.members: not set: must be 1 to 256 models"},
      {[](auto& e) { AddJobs(e, 256); }, ""},
      {[](auto& e) { AddJobs(e, 257); },
       "ensemble.members: 257 entries: must be at most 256"},
      {[](auto& e) { e.clear_data(); }, "ensemble.data: not set"},
      {[](auto& e) { e.mutable_data()->clear_format(); },
       "ensemble.data.format: not set: must be one of idx"},
      {[](auto& e) { e.mutable_data()->mutable_source()->set_path("x"); },
       "ensemble.data.source.path: \"x\": must be an absolute path"},
      {[](auto& e) { e.mutable_data()->set_validation_split(0.1); },
       "ensemble.data.validation_split: 0.1: every sample is predicted"},
      {[](auto& e) { e.mutable_data()->set_augment(true); },
       "ensemble.data.augment: true: samples are predicted as they are"},
      {[](auto& e) { e.set_fusion(static_cast<Ensemble::Fusion>(9)); },
       "ensemble.fusion: 9: must be one of mean, vote, weighted, uncertainty"},
      {[](auto& e) { e.set_mc_samples(1000); }, ""},
      {[](auto& e) { e.set_mc_samples(1001); },
       "ensemble.mc_samples: 1001: must be 1 to 1,000"},
      {[](auto& e) { e.set_batch_size(1'000'001); },
       "ensemble.batch_size: 1000001: must be 1 to 1,000,000"},
      {[](auto& e) { e.set_threads(1025); },
       "ensemble.threads: 1025: must be 0 to 1,024"},
      {[](auto& e) { e.add_outputs(Ensemble::OUTPUT_FORMAT_UNSPECIFIED); },
       "ensemble.outputs[0]: 0: must be one of jsonl, csv, npy"},
      {[](auto& e) {
         e.add_outputs(Ensemble::OUTPUT_FORMAT_CSV);
         e.add_outputs(Ensemble::OUTPUT_FORMAT_NPY);
         e.add_outputs(Ensemble::OUTPUT_FORMAT_CSV);
       },
       "ensemble.outputs[2]: is there twice"},
  });
}

TEST(ValidateEnsemble, ChecksEachMember) {
  Check({
      {[](auto& e) { e.mutable_members(1)->clear_torchscript(); },
       "ensemble.members[1].model: not set: must be there, or torchscript"},
      {[](auto& e) { e.mutable_members(1)->mutable_model(); },
       "ensemble.members[1].torchscript: given beside model"},
      {[](auto& e) { e.mutable_members(2)->mutable_torchscript(); },
       "ensemble.members[2].torchscript: given beside job"},
      {[](auto& e) { e.mutable_members(2)->set_job("17"); },
       "ensemble.members[2].job: \"17\": must be"},
      {[](auto& e) { e.mutable_members(0)->mutable_model()->clear_weights(); },
       "ensemble.members[0].model.weights: not set: must be a safetensors"},
      {[](auto& e) {
         e.mutable_members(0)->mutable_model()->set_architecture("mlpp");
       },
       "ensemble.members[0].model.architecture: \"mlpp\": must be one of"},
      {[](auto& e) { e.mutable_members(1)->mutable_torchscript()->Clear(); },
       "ensemble.members[1].torchscript: not set: must be a path or an"},
      {[](auto& e) { e.mutable_members(1)->mutable_config(); },
       "ensemble.members[1].config: not set: must be a path or an artifact"},
      {[](auto& e) {
         e.mutable_members(0)->mutable_model()->set_architecture("mnist_cnn");
         e.mutable_data()->set_format(v1::DataSpec::FORMAT_CIFAR10);
       },
       "ensemble.members[0].model.architecture: \"mnist_cnn\" takes images"},
      {[](auto& e) { e.mutable_members(0)->set_name("a.b-c_9"); }, ""},
      {[](auto& e) { e.mutable_members(0)->set_name("A"); },
       "ensemble.members[0].name: \"A\": must be 1 to 63 of a to z"},
      {[](auto& e) { e.mutable_members(0)->set_name(std::string(64, 'x')); },
       "ensemble.members[0].name: \"xxx"},
      {[](auto& e) { e.mutable_members(0)->set_name("member-3"); },
       "ensemble.members[2].name: \"member-3\": ensemble.members[0] has this "
       "name"},
      {[](auto& e) {
         v1::EnsembleMember& member = *e.mutable_members(2);
         member.GetReflection()->MutableUnknownFields(&member)->AddVarint(99,
                                                                          1);
       },
       "ensemble.members[2]: has the field number 99"},
  });
}

TEST(ValidateEnsemble, ChecksWeights) {
  const auto weighted = [](double first, double others) {
    return [=](Ensemble& e) {
      e.set_fusion(Ensemble::FUSION_WEIGHTED);
      for (auto& member : *e.mutable_members()) member.set_weight(others);
      e.mutable_members(0)->set_weight(first);
    };
  };
  Check({
      {weighted(0.5, 0), ""},
      {weighted(0, 0),
       "ensemble.members: the weights have the sum 0: must be above 0"},
      {weighted(-1, 2),
       "ensemble.members[0].weight: -1: must be a finite number, at least 0"},
      {weighted(kNan, 2), "ensemble.members[0].weight: nan: must be a finite"},
      {weighted(kInfinity, 2), "ensemble.members[0].weight: inf: must be a"},
      {weighted(1e308, 1e308),
       "ensemble.members: the weights have the sum inf"},
      {[](auto& e) { e.mutable_members(2)->set_weight(0.5); },
       "ensemble.members[2].weight: 0.5: only fusion weighted has weights"},
      {[](auto& e) { e.mutable_members(2)->set_weight(1); }, ""},
  });
}

}  // namespace
}  // namespace trainyard::rpc
