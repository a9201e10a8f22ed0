#include "proto/json/job_json.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "trainyard/v1/artifact_service.pb.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/telemetry.pb.h"

namespace trainyard {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

constexpr char kSpec[] = R"({
  "name": "glyphs",
  "training": {
    "model": {"architecture": "mlp", "hidden_sizes": [256, 128]},
    "data": {"format": "image_folder", "source": {"path": "/data"},
             "validation_split": 0.1, "augment": true},
    "optimizer": {"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "epochs": 3,
    "seed": 18446744073709551615
  },
  "resources": {
    "devices": [{"kind": "cuda", "count": 1, "min_memory_bytes": 8589934592},
                {"kind": "cpu"}],
    "worker_labels": {"site": "lab"}
  },
  "retry": {"max_retries": 0, "backoff": "1.5s"},
  "limits": {"run_time": "1h30m"},
  "priority": -5,
  "labels": {"a": "1", "b": "2"}
})";

TEST(ToJson, GivesBackWhatFromJsonRead) {
  const Json json = Json::parse(kSpec);
  v1::JobSpec spec;
  ASSERT_TRUE(FromJson(json, &spec).ok()) << FromJson(json, &spec);
  EXPECT_EQ(spec.training().data().format(), v1::DataSpec::FORMAT_IMAGE_FOLDER);
  EXPECT_EQ(spec.training().seed(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(spec.retry().backoff().seconds(), 1);
  EXPECT_EQ(spec.retry().backoff().nanos(), 500000000);
  EXPECT_EQ(spec.limits().run_time().seconds(), 5400);
  EXPECT_TRUE(spec.retry().has_max_retries());
  const Json back = ToJson(spec);
  v1::JobSpec again;
  ASSERT_TRUE(FromJson(back, &again).ok());
  EXPECT_TRUE(MessageDifferencer::Equals(spec, again));
  EXPECT_EQ(nlohmann::json(back), nlohmann::json(json));
}

TEST(ToJson, LeavesOutWhatIsUnset) {
  EXPECT_EQ(ToJson(v1::JobSpec()).dump(), "{}");
  v1::MetricPoint point;
  point.set_loss(0);  // optional: set
  EXPECT_EQ(ToJson(point).dump(), R"({"loss":0.0})");
}

TEST(ToJson, WritesTimesInUtcAndNonFiniteNumbersAsNull) {
  v1::MetricPoint point;
  point.mutable_time()->set_seconds(1714564800);
  point.mutable_time()->set_nanos(250000000);
  point.set_loss(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(ToJson(point).dump(),
            R"({"time":"2024-05-01T12:00:00.25Z","loss":null})");
}

TEST(ToJson, SortsMapsAndKeepsTheOrderOfTheProto) {
  v1::JobSpec spec;
  spec.mutable_labels()->insert({"b", "2"});
  spec.mutable_labels()->insert({"a", "1"});
  spec.set_name("n");
  EXPECT_EQ(ToJson(spec).dump(), R"({"name":"n","labels":{"a":"1","b":"2"}})");
}

TEST(ToJson, WritesEnumNumbersItDoesNotKnow) {
  v1::Job job;
  job.set_state(static_cast<v1::Job::State>(99));
  EXPECT_EQ(ToJson(job).dump(), R"({"state":99})");
}

TEST(FromJson, ReadsTimesSizesAndBytes) {
  v1::MetricPoint point;
  ASSERT_TRUE(FromJson({{"time", "2024-05-01T14:00:00+02:00"}}, &point).ok());
  EXPECT_EQ(point.time().seconds(), 1714564800);
  v1::DeviceRequest device;
  ASSERT_TRUE(FromJson({{"min_memory_bytes", "8GiB"}}, &device).ok());
  EXPECT_EQ(device.min_memory_bytes(), 8ull << 30);
  v1::UploadArtifactRequest chunk;
  ASSERT_TRUE(FromJson({{"data", "AAH/"}}, &chunk).ok());
  EXPECT_EQ(chunk.data(), std::string("\x00\x01\xff", 3));
  EXPECT_EQ(ToJson(chunk).dump(), R"({"data":"AAH/"})");
}

TEST(FromJson, ReadsDurationsAsTextOrSeconds) {
  const std::vector<std::pair<Json, int64_t>> kRows = {
      {"90s", 90}, {"5m", 300}, {"1h30m", 5400}, {90, 90}, {"0s", 0}};
  for (const auto& [json, seconds] : kRows) {
    v1::Limits limits;
    ASSERT_TRUE(FromJson({{"run_time", json}}, &limits).ok()) << json;
    EXPECT_EQ(limits.run_time().seconds(), seconds) << json;
  }
}

TEST(FromJson, TakesWholeFloatsForIntegers) {
  v1::TrainingSpec spec;
  ASSERT_TRUE(FromJson({{"epochs", 3.0}, {"max_steps", 1e6}}, &spec).ok());
  EXPECT_EQ(spec.epochs(), 3u);
  EXPECT_EQ(spec.max_steps(), 1000000u);
}

struct BadRow {
  const char* json;
  const char* error;
};

TEST(FromJson, NamesPathValueAndWhatWouldBeRight) {
  const BadRow kRows[] = {
      {R"({"training":{"optimizer":{"lerning_rate":1}}})",
       "training.optimizer.lerning_rate: unknown field; did you mean "
       "\"learning_rate\"?"},
      {R"({"learning_rate":1})",
       "learning_rate: unknown field; did you mean "
       "\"training.optimizer.learning_rate\"?"},
      {R"({"xyzzy":1})", "xyzzy: unknown field; known are name, training, "},
      {R"({"training":{"epochs":-1}})",
       "training.epochs: -1: must be a whole number, not negative"},
      {R"({"training":{"epochs":4294967296}})",
       "training.epochs: 4294967296: must be a whole number, at most "
       "4294967295"},
      {R"({"training":{"epochs":2.5}})",
       "training.epochs: 2.5: must be a whole"},
      {R"({"training":{"epochs":"3"}})",
       "training.epochs: \"3\": must be a whole number"},
      {R"({"training":{"epochs":true}})", "training.epochs: true: must be"},
      {R"({"training":{"epochs":[1]}})", "training.epochs: a list: must be"},
      {R"({"training":{"epochs":null}})",
       "training.epochs: no value: must be a whole number"},
      {R"({"training":{"seed":1e300}})", "training.seed: 1e+300: must be"},
      {R"({"training":{"seed":-1}})",
       "training.seed: -1: must be a whole number, not negative"},
      {R"({"priority":2147483648})", "priority: 2147483648: must be a whole"},
      {R"({"priority":-2147483649})",
       "must be a whole number, at least -2147483648"},
      {R"({"training":{"optimizer":{"momentum":"0.9"}}})",
       "training.optimizer.momentum: \"0.9\": must be a finite number"},
      {R"({"training":{"data":{"format":"image-folder"}}})",
       "training.data.format: \"image-folder\": must be one of idx, cifar10, "
       "cifar100, image_folder; did you mean \"image_folder\"?"},
      {R"({"training":{"data":{"format":"unspecified"}}})",
       "must be one of idx, cifar10, cifar100, image_folder"},
      {R"({"training":{"data":{"format":3}}})", "format: 3: must be one of"},
      {R"({"training":{"data":{"augment":1}}})",
       "training.data.augment: 1: must be true or false"},
      {R"({"training":{"data":{"source":{"path":"/a","upload":"b"}}}})",
       "training.data.source: both path and upload are given: must be one of "
       "path, artifact, upload"},
      {R"({"name":17})", "name: 17: must be text; write \"17\""},
      {R"({"name":{"a":1}})", "name: an object: must be text"},
      {R"({"training":7})",
       "training: 7: must be an object with any of model,"},
      {R"([1])", "a list: must be an object with any of name,"},
      {R"({"training":{"model":{"hidden_sizes":128}}})",
       "training.model.hidden_sizes: 128: must be a list"},
      {R"({"training":{"model":{"hidden_sizes":[1,-2]}}})",
       "training.model.hidden_sizes[1]: -2: must be"},
      {R"({"resources":{"devices":[{"kind":"gpu"}]}})",
       "resources.devices[0].kind: \"gpu\": must be one of cpu, cuda, mps"},
      {R"({"resources":{"devices":[{"min_memory_bytes":"8 gigs"}]}})",
       "resources.devices[0].min_memory_bytes: \"8 gigs\" is no size"},
      {R"({"resources":{"devices":[{"min_memory_bytes":-8}]}})",
       "min_memory_bytes: -8: must be"},
      {R"({"labels":["a"]})", "labels: a list: must be an object of names"},
      {R"({"labels":{"version":1.5}})",
       "labels.version: 1.5: must be text; write \"1.5\""},
      {R"({"limits":{"run_time":"soon"}})",
       "limits.run_time: \"soon\": must be a time such as \"90s\""},
      {R"({"limits":{"run_time":"-5s"}})", "limits.run_time: \"-5s\": must be"},
      {R"({"limits":{"run_time":"inf"}})", "limits.run_time: \"inf\": must be"},
      {R"({"limits":{"run_time":-1}})", "limits.run_time: -1: must be"},
      {R"({"limits":{"run_time":1e300}})", "limits.run_time: 1e+300: must be"},
  };
  for (const BadRow& row : kRows) {
    v1::JobSpec spec;
    spec.set_name("before");
    const absl::Status status = FromJson(Json::parse(row.json), &spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.json;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.error));
    EXPECT_EQ(spec.name(), "before");
  }
}

TEST(FromJson, RefusesNumbersThatAreNotFiniteAndTextThatIsNotUtf8) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    v1::OptimizerSpec spec;
    const absl::Status status = FromJson({{"learning_rate", bad}}, &spec);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("must be a finite number"));
    v1::Limits limits;
    EXPECT_FALSE(FromJson({{"run_time", bad}}, &limits).ok());
  }
  for (const char* bad : {"\xff", "\xc0\xaf", "\xe2\x82", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf0\x8f\xbf\xbf"}) {
    v1::JobSpec spec;
    EXPECT_THAT(std::string(FromJson({{"name", bad}}, &spec).message()),
                HasSubstr("must be valid UTF-8"));
    EXPECT_FALSE(FromJson({{"labels", {{bad, "x"}}}}, &spec).ok());
  }
  v1::JobSpec spec;
  EXPECT_TRUE(FromJson({{"name", "glyph–€–😀"}}, &spec).ok());
}

TEST(FromJson, OptionsMakeItTolerateNewerPeersAndNull) {
  FromJsonOptions options;
  options.ignore_unknown_fields = true;
  options.null_is_unset = true;
  v1::MetricPoint point;
  const Json json = Json::parse(R"({"step":7,"loss":null,"colour":"red"})");
  ASSERT_TRUE(FromJson(json, &point, options).ok());
  EXPECT_EQ(point.step(), 7u);
  EXPECT_FALSE(point.has_loss());
}

}  // namespace
}  // namespace trainyard
