#include "workers/runner/spec.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace trainyard::runner {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// The smallest spec that is right.
json Smallest() {
  return {{"trainyard_runner", 1},
          {"job", 17},
          {"attempt", 2},
          {"training",
           {{"model", {{"architecture", "mnist_cnn"}}},
            {"data", {{"format", "idx"}, {"source", {{"path", "/data"}}}}}}},
          {"device", {{"kind", "cpu"}, {"threads", 2}}},
          {"work_dir", "/work"}};
}

TEST(ParseSpec, FillsInTheDefaults) {
  const auto spec = ParseSpec(Smallest().dump());
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->job, 17u);
  EXPECT_EQ(spec->attempt, 2u);
  const TrainingOptions& training = spec->training;
  EXPECT_EQ(training.model.architecture, "mnist_cnn");
  EXPECT_EQ(training.model.hidden_sizes, std::vector<int64_t>{128});
  EXPECT_EQ(training.model.num_classes, 0);
  EXPECT_EQ(training.data.format, data::DataFormat::kIdx);
  EXPECT_EQ(training.data.path, "/data");
  EXPECT_EQ(training.data.image_size, 224u);
  EXPECT_EQ(training.epochs, 1u);
  EXPECT_EQ(training.batch_size, 64u);
  EXPECT_EQ(training.optimizer.learning_rate, 0.01);
  EXPECT_EQ(training.optimizer.weight_decay, 0);
  EXPECT_EQ(training.checkpoint.every_seconds, 60);
  EXPECT_EQ(spec->device.threads, 2);
  EXPECT_EQ(spec->resume, "");
}

TEST(ParseSpec, HasTheDefaultsOfEachRule) {
  json spec = Smallest();
  spec["training"]["optimizer"] = {{"kind", "adamw"}};
  EXPECT_EQ(ParseSpec(spec.dump())->training.optimizer.learning_rate, 0.001);
  EXPECT_EQ(ParseSpec(spec.dump())->training.optimizer.weight_decay, 0.01);
  spec["training"]["optimizer"] = {{"kind", "adam"}, {"weight_decay", 0.5}};
  EXPECT_EQ(ParseSpec(spec.dump())->training.optimizer.learning_rate, 0.001);
  EXPECT_EQ(ParseSpec(spec.dump())->training.optimizer.weight_decay, 0.5);
}

TEST(ParseSpec, TakesWhatProtobufWrites) {
  json spec = Smallest();
  spec["training"]["seed"] = "18446744073709551615";
  spec["training"]["max_steps"] = "100";
  spec["training"]["epochs"] = 0;  // an unset field
  spec["training"]["model"]["weights"] = nullptr;
  spec["training"]["checkpoint"] = {{"every_seconds", 0}};
  const auto parsed = ParseSpec(spec.dump());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->training.seed, 18446744073709551615u);
  EXPECT_EQ(parsed->training.max_steps, 100u);
  EXPECT_EQ(parsed->training.epochs, 1u);
  EXPECT_EQ(parsed->training.checkpoint.every_seconds, 0);
}

TEST(ParseSpec, IgnoresUnknownMembersOutsideTraining) {
  json spec = Smallest();
  spec["trace_id"] = "abc";
  spec["device"]["uuid"] = "GPU-1";
  EXPECT_TRUE(ParseSpec(spec.dump()).ok());
}

struct Bad {
  const char* pointer;  // JSON pointer of what is replaced
  json value;
  const char* message;  // part of the error
};

class BadSpec : public testing::TestWithParam<Bad> {};

TEST_P(BadSpec, IsRefusedByName) {
  json spec = Smallest();
  spec[json::json_pointer(GetParam().pointer)] = GetParam().value;
  const auto parsed = ParseSpec(spec.dump());
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(parsed.status().message()),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadSpec,
    testing::Values(
        Bad{"/trainyard_runner", 2, "trainyard_runner is 2"},
        Bad{"/trainyard_runner", nullptr, "trainyard_runner is not set"},
        Bad{"/training", nullptr, "training and ensemble are not set"},
        Bad{"/training", "x", "training is \"x\"; it must be an object"},
        Bad{"/training/epochs", -1,
            "training.epochs is -1; it must be a whole number from 1 to "
            "1000000"},
        Bad{"/training/epochs", 2.5, "training.epochs is 2.5"},
        Bad{"/training/epochs", "three", "training.epochs is \"three\""},
        Bad{"/training/epochs", 1000001, "training.epochs is 1000001"},
        Bad{"/training/batch_size", true, "training.batch_size is true"},
        Bad{"/training/seed", "18446744073709551616", "training.seed is"},
        Bad{"/training/threads", 1025, "training.threads is 1025"},
        Bad{"/training/epoch", 3,
            "training.epoch is not a field this runner knows; did you mean "
            "\"epochs\"?"},
        Bad{"/training/model/architecture", 3,
            "training.model.architecture is 3; it must be a string"},
        Bad{"/training/model/architecture", "",
            "training.model.architecture is not set"},
        Bad{"/training/model/num_classes", 1,
            "training.model.num_classes is 1"},
        Bad{"/training/model/hidden_sizes", json::array({64, 0}),
            "training.model.hidden_sizes[1] is 0"},
        Bad{"/training/model/hidden_sizes", 64,
            "training.model.hidden_sizes is 64"},
        Bad{"/training/model/hidden_sizes", std::vector<int>(17, 8),
            "at most 16"},
        Bad{"/training/model/weights", json{{"path", "w.safetensors"}},
            "training.model.weights.path is \"w.safetensors\"; it must be an "
            "absolute path"},
        Bad{"/training/model/weights", json{{"artifact", "sha256:0"}},
            "training.model.weights.artifact is set"},
        Bad{"/training/data/format", "cifar",
            "training.data.format is \"cifar\", which this runner does not "
            "know; did you mean \"cifar10\"?"},
        Bad{"/training/data/format", nullptr,
            "training.data.format is not set"},
        Bad{"/training/data/source", nullptr,
            "training.data.source.path is not set"},
        Bad{"/training/data/validation_split", 0.95,
            "training.data.validation_split is 0.95; it must be a number from "
            "0 to 0.9"},
        Bad{"/training/data/image_size", 7, "training.data.image_size is 7"},
        Bad{"/training/data/augment", 1, "training.data.augment is 1"},
        Bad{"/training/optimizer/kind", "adm", "did you mean \"adam\"?"},
        Bad{"/training/optimizer/learning_rate", -0.1,
            "training.optimizer.learning_rate is -0.1"},
        Bad{"/training/optimizer/learning_rate", "NaN",
            "training.optimizer.learning_rate is \"NaN\""},
        Bad{"/training/optimizer/momentum", 1.0,
            "training.optimizer.momentum is 1.0"},
        Bad{"/training/optimizer", json{{"kind", "adam"}, {"momentum", 0.9}},
            "training.optimizer.momentum is 0.9; only the kind sgd has it"},
        Bad{"/training/optimizer/weight_decay", 2,
            "training.optimizer.weight_decay is 2"},
        Bad{"/training/checkpoint/every_steps", -5,
            "training.checkpoint.every_steps is -5"},
        Bad{"/training/checkpoint/every_seconds", -1,
            "training.checkpoint.every_seconds is -1"},
        Bad{"/device/kind", "gpu", "device.kind is \"gpu\""},
        Bad{"/device/index", -1, "device.index is -1"},
        Bad{"/work_dir", "", "work_dir is not set"},
        Bad{"/work_dir", "here", "work_dir is \"here\""},
        Bad{"/resume", 5, "resume is 5"},
        Bad{"/resume", std::string("/a\0b", 4), "resume is"}));

TEST(ParseSpec, RefusesWhatIsNoJsonObject) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"),
        std::string("\xff\xfe{}"), std::string(100000, '['),
        std::string(5 << 20, ' ')}) {
    EXPECT_EQ(ParseSpec(text).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  json deep = Smallest();
  std::string nested = "1";
  for (int i = 0; i < 50; ++i) nested = absl::StrCat("{\"a\":", nested, "}");
  deep["training"]["model"]["hidden_sizes"] = json::parse(nested);
  EXPECT_FALSE(ParseSpec(deep.dump()).ok());
}

TEST(ParseSpec, CutsALongValueShort) {
  json spec = Smallest();
  spec["training"]["optimizer"]["kind"] = std::string(100000, 'x');
  EXPECT_LT(ParseSpec(spec.dump()).status().message().size(), 500u);
}

TEST(ReadSpec, NamesAMissingFile) {
  EXPECT_THAT(ReadSpec("/nowhere/spec.json").status().ToString(),
              HasSubstr("/nowhere/spec.json"));
}

}  // namespace
}  // namespace trainyard::runner
