#include "workers/runner/ensemble/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "nlohmann/json.hpp"
#include "workers/runner/spec.h"

namespace trainyard::runner {
namespace {

using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

json Minimal() {
  return json::parse(R"({
    "trainyard_runner": 1, "work_dir": "/work",
    "ensemble": {
      "members": [{"model": {"architecture": "mlp",
                             "weights": {"path": "/a.safetensors"}}},
                  {"torchscript": {"path": "/b.pt"}}],
      "data": {"format": "idx", "source": {"path": "/data"}}}})");
}

std::string ErrorOf(const std::function<void(json&)>& change) {
  json spec = Minimal();
  change(spec);
  const auto parsed = ParseSpec(spec.dump());
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

TEST(EnsembleSpecTest, FillsDefaultsIn) {
  const auto spec = ParseSpec(Minimal().dump());
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_TRUE(spec->ensemble.has_value());
  const EnsembleOptions& ensemble = *spec->ensemble;
  ASSERT_EQ(ensemble.members.size(), 2);
  EXPECT_EQ(ensemble.members[0].name, "member-1");
  EXPECT_EQ(ensemble.members[0].model.weights, "/a.safetensors");
  EXPECT_EQ(ensemble.members[0].weight, 1);
  EXPECT_EQ(ensemble.members[1].name, "member-2");
  EXPECT_EQ(ensemble.members[1].torchscript, "/b.pt");
  EXPECT_EQ(ensemble.fusion, FusionRule::kMean);
  EXPECT_EQ(ensemble.mc_samples, 1);
  EXPECT_EQ(ensemble.batch_size, 64);
  EXPECT_THAT(ensemble.outputs, ElementsAre(OutputFormat::kJsonl));
  ASSERT_EQ(spec->devices.size(), 1);
  EXPECT_EQ(spec->devices[0].kind, DeviceKind::kCpu);
}

TEST(EnsembleSpecTest, ReadsEveryField) {
  json spec = Minimal();
  spec["ensemble"].update(json::parse(
      R"({"fusion": "weighted", "mc_samples": 10, "batch_size": 128,
          "seed": "18446744073709551615", "threads": 2,
          "outputs": ["npy", "csv"]})"));
  spec["ensemble"]["members"][0].update(json::parse(
      R"({"name": "a.1_x-y", "job": "jobs/17", "weight": 0.5,
          "config": {"path": "/model.json"}})"));
  spec["device"] = {{"kind", "cuda"}, {"index", 1}};
  spec["devices"] = json::parse(
      R"([{"kind": "cuda", "index": 1}, {"kind": "cuda", "index": 0}])");
  const auto parsed = ParseSpec(spec.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const EnsembleOptions& ensemble = *parsed->ensemble;
  EXPECT_EQ(ensemble.fusion, FusionRule::kWeighted);
  EXPECT_EQ(ensemble.mc_samples, 10);
  EXPECT_EQ(ensemble.batch_size, 128);
  EXPECT_EQ(ensemble.seed, ~uint64_t{0});
  EXPECT_EQ(ensemble.threads, 2);
  EXPECT_THAT(ensemble.outputs,
              ElementsAre(OutputFormat::kNpy, OutputFormat::kCsv));
  EXPECT_EQ(ensemble.members[0].name, "a.1_x-y");
  EXPECT_EQ(ensemble.members[0].weight, 0.5);
  EXPECT_EQ(ensemble.members[0].config, "/model.json");
  ASSERT_EQ(parsed->devices.size(), 2);
  EXPECT_EQ(parsed->devices[1].index, 0);
}

struct WrongSpec {
  std::string name;
  std::function<void(json&)> change;
  std::string says;
};

TEST(EnsembleSpecTest, RefusesWhatIsWrongByItsName) {
  const WrongSpec all[] = {
      {"both kinds", [](json& s) { s["training"] = json::object(); },
       "training and ensemble are both set"},
      {"neither", [](json& s) { s.erase("ensemble"); },
       "training and ensemble are not set"},
      {"unknown", [](json& s) { s["ensemble"]["fussion"] = "mean"; },
       "ensemble.fussion is not a field this runner knows; did you mean "
       "\"fusion\"?"},
      {"unknown of a member",
       [](json& s) { s["ensemble"]["members"][1]["wight"] = 1; },
       "ensemble.members[1].wight is not a field this runner knows; did you "
       "mean \"weight\"?"},
      {"fusion", [](json& s) { s["ensemble"]["fusion"] = "mien"; },
       "ensemble.fusion is \"mien\""},
      {"no members", [](json& s) { s["ensemble"]["members"] = json::array(); },
       "ensemble.members is []; it must be an array of 1 to 256 members"},
      {"members of a kind", [](json& s) { s["ensemble"]["members"] = "all"; },
       "ensemble.members"},
      {"a member that is none",
       [](json& s) { s["ensemble"]["members"][0] = 7; },
       "ensemble.members[0] is 7; it must be an object"},
      {"too many members",
       [](json& s) {
         const json one = s["ensemble"]["members"][1];
         s["ensemble"]["members"] = json::array();
         for (int i = 0; i < 257; ++i) s["ensemble"]["members"].push_back(one);
       },
       "; it has 257"},
      {"equal names",
       [](json& s) { s["ensemble"]["members"][1]["name"] = "member-1"; },
       "ensemble.members[1].name is \"member-1\"; it must be another name"},
      {"a name of slashes",
       [](json& s) { s["ensemble"]["members"][1]["name"] = "../x"; },
       "ensemble.members[1].name is \"../x\""},
      {"two models",
       [](json& s) {
         s["ensemble"]["members"][0]["torchscript"] = {{"path", "/c.pt"}};
       },
       "ensemble.members[0].torchscript.path are both set"},
      {"no model",
       [](json& s) { s["ensemble"]["members"][1] = json::object(); },
       "ensemble.members[1].torchscript.path are not set"},
      {"no weights",
       [](json& s) { s["ensemble"]["members"][0]["model"].erase("weights"); },
       "ensemble.members[0].model.weights.path is not set"},
      {"a source of another kind",
       [](json& s) {
         s["ensemble"]["members"][1]["torchscript"] = {{"artifact", "sha256:"}};
       },
       "ensemble.members[1].torchscript.artifact is set"},
      {"a relative path",
       [](json& s) {
         s["ensemble"]["members"][1]["torchscript"]["path"] = "b.pt";
       },
       "an absolute path"},
      {"a negative weight",
       [](json& s) { s["ensemble"]["members"][0]["weight"] = -1; },
       "ensemble.members[0].weight is -1"},
      {"weights of 0",
       [](json& s) {
         s["ensemble"]["fusion"] = "weighted";
         for (json& one : s["ensemble"]["members"]) one["weight"] = 0;
       },
       "the weights of ensemble.members sum up to 0"},
      {"weights without end",
       [](json& s) {
         s["ensemble"]["fusion"] = "weighted";
         for (json& one : s["ensemble"]["members"]) one["weight"] = 1e308;
       },
       "sum up to inf"},
      {"augmented", [](json& s) { s["ensemble"]["data"]["augment"] = true; },
       "ensemble.data.augment is true"},
      {"split",
       [](json& s) { s["ensemble"]["data"]["validation_split"] = 0.5; },
       "ensemble.data.validation_split is 0.5"},
      {"no data", [](json& s) { s["ensemble"].erase("data"); },
       "ensemble.data.format is not set"},
      {"passes", [](json& s) { s["ensemble"]["mc_samples"] = 1001; },
       "ensemble.mc_samples is 1001"},
      {"an output twice",
       [](json& s) {
         s["ensemble"]["outputs"] = {"csv", "csv"};
       },
       "each at most once"},
      {"an unknown output", [](json& s) { s["ensemble"]["outputs"] = {"xml"}; },
       "ensemble.outputs is [\"xml\"]"},
      {"an output that is none",
       [](json& s) { s["ensemble"]["outputs"] = {7}; },
       "ensemble.outputs is [7]"},
      {"a device twice",
       [](json& s) {
         s["devices"] = json::array({{{"kind", "cpu"}}, {{"kind", "cpu"}}});
       },
       "devices[1]"},
      {"another first device",
       [](json& s) {
         s["device"] = {{"kind", "cpu"}};
         s["devices"] = json::array({{{"kind", "cuda"}}});
       },
       "devices[0]"},
      {"devices that are none", [](json& s) { s["devices"] = {7}; },
       "devices[0] is 7; it must be an object"},
  };
  for (const WrongSpec& wrong : all) {
    SCOPED_TRACE(wrong.name);
    EXPECT_THAT(ErrorOf(wrong.change), HasSubstr(wrong.says));
  }
}

}  // namespace
}  // namespace trainyard::runner
