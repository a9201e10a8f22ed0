#include "server/rpc/validate.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
const char kArtifact[] =
    "sha256:"
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

v1::JobSpec GoodSpec() {
  v1::JobSpec spec;
  spec.mutable_training()->mutable_model()->set_architecture("mnist_cnn");
  v1::DataSpec& data = *spec.mutable_training()->mutable_data();
  data.set_format(v1::DataSpec::FORMAT_IDX);
  data.mutable_source()->set_path("/data/mnist");
  return spec;
}

std::string Message(const absl::Status& status) {
  return std::string(status.message());
}

TEST(ValidateAndComplete, FillsInEveryDefault) {
  v1::JobSpec spec = GoodSpec();
  ASSERT_TRUE(ValidateAndComplete(&spec).ok());
  EXPECT_EQ(spec.name(), "training");
  const v1::TrainingSpec& training = spec.training();
  EXPECT_EQ(training.epochs(), 1u);
  EXPECT_EQ(training.batch_size(), 64u);
  EXPECT_EQ(training.optimizer().kind(), v1::OptimizerSpec::KIND_SGD);
  EXPECT_EQ(training.optimizer().learning_rate(), 0.01);
  EXPECT_TRUE(training.optimizer().has_weight_decay());
  EXPECT_EQ(training.optimizer().weight_decay(), 0);
  EXPECT_EQ(training.checkpoint().every_seconds(), 60);
  ASSERT_EQ(spec.resources().devices_size(), 3);
  EXPECT_EQ(spec.resources().devices(0).kind(), v1::DEVICE_KIND_CUDA);
  EXPECT_EQ(spec.resources().devices(1).kind(), v1::DEVICE_KIND_MPS);
  EXPECT_EQ(spec.resources().devices(2).kind(), v1::DEVICE_KIND_CPU);
  EXPECT_EQ(spec.resources().devices(2).count(), 1u);
  EXPECT_EQ(spec.retry().max_retries(), 2u);
  EXPECT_EQ(spec.retry().backoff().seconds(), 1);
  EXPECT_FALSE(spec.has_limits());
}

TEST(ValidateAndComplete, ChangesNothingTheSecondTime) {
  v1::JobSpec spec = GoodSpec();
  ASSERT_TRUE(ValidateAndComplete(&spec).ok());
  v1::JobSpec again = spec;
  ASSERT_TRUE(ValidateAndComplete(&again).ok());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(spec, again));
}

TEST(ValidateAndComplete, KeepsWhatWasSaid) {
  v1::JobSpec spec = GoodSpec();
  spec.mutable_training()->mutable_optimizer()->set_weight_decay(0);
  spec.mutable_training()->mutable_optimizer()->set_kind(
      v1::OptimizerSpec::KIND_ADAMW);
  spec.mutable_training()->mutable_checkpoint()->set_every_seconds(0);
  spec.mutable_retry()->set_max_retries(0);
  spec.mutable_retry()->mutable_backoff();
  spec.mutable_resources()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  ASSERT_TRUE(ValidateAndComplete(&spec).ok());
  EXPECT_EQ(spec.training().optimizer().learning_rate(), 0.001);
  EXPECT_EQ(spec.training().optimizer().weight_decay(), 0);
  EXPECT_EQ(spec.training().checkpoint().every_seconds(), 0);
  EXPECT_EQ(spec.retry().max_retries(), 0u);
  EXPECT_EQ(spec.retry().backoff().seconds(), 0);
  EXPECT_EQ(spec.resources().devices_size(), 1);
}

TEST(ValidateAndComplete, HasDefaultsThatDependOnOthers) {
  v1::JobSpec spec = GoodSpec();
  v1::TrainingSpec& training = *spec.mutable_training();
  training.mutable_model()->set_architecture("mlp");
  training.mutable_data()->set_format(v1::DataSpec::FORMAT_IMAGE_FOLDER);
  training.mutable_optimizer()->set_kind(v1::OptimizerSpec::KIND_ADAMW);
  ASSERT_TRUE(ValidateAndComplete(&spec).ok());
  ASSERT_EQ(training.model().hidden_sizes_size(), 1);
  EXPECT_EQ(training.model().hidden_sizes(0), 128u);
  EXPECT_EQ(training.data().image_size(), 224u);
  EXPECT_EQ(training.optimizer().learning_rate(), 0.001);
  EXPECT_EQ(training.optimizer().weight_decay(), 0.01);
}

struct Case {
  std::function<void(v1::JobSpec*)> change;
  std::string error;  // how it starts; empty: none
};

void Check(const std::vector<Case>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "case " << i << ": " << cases[i].error);
    v1::JobSpec spec = GoodSpec();
    cases[i].change(&spec);
    const absl::Status status = ValidateAndComplete(&spec);
    if (cases[i].error.empty()) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(Message(status), StartsWith(cases[i].error));
    }
  }
}

TEST(ValidateAndComplete, ChecksTraining) {
  const auto training = [](auto change) {
    return [change](v1::JobSpec* s) { change(*s->mutable_training()); };
  };
  Check({
      {training([](auto& t) { t.set_epochs(1'000'000); }), ""},
      {training([](auto& t) { t.set_epochs(2'000'000); }),
       "training.epochs: 2000000: must be 1 to 1,000,000"},
      {training([](auto& t) { t.set_batch_size(1'000'001); }),
       "training.batch_size: 1000001: must be 1 to 1,000,000"},
      {training([](auto& t) { t.set_threads(1025); }),
       "training.threads: 1025: must be 0 to 1,024"},
      {training([](auto& t) { t.set_seed(UINT64_MAX); }), ""},
      {training([](auto& t) { t.clear_model(); }), "training.model: not set"},
      {training([](auto& t) { t.clear_data(); }), "training.data: not set"},
      {training(
           [](auto& t) { t.mutable_checkpoint()->set_every_seconds(kNan); }),
       "training.checkpoint.every_seconds: nan: must be at least 0"},
      {training([](auto& t) { t.mutable_checkpoint()->set_every_seconds(-1); }),
       "training.checkpoint.every_seconds: -1: must be at least 0"},
      {training([](auto& t) {
         t.mutable_checkpoint()->set_every_seconds(kInfinity);
       }),
       "training.checkpoint.every_seconds: inf: must be"},
  });
}

TEST(ValidateAndComplete, ChecksTheModel) {
  const auto model = [](auto change) {
    return [change](v1::JobSpec* s) {
      change(*s->mutable_training()->mutable_model());
    };
  };
  const auto hidden = [](v1::ModelSpec& m, int count, uint32_t size) {
    m.set_architecture("mlp");
    for (int i = 0; i < count; ++i) m.add_hidden_sizes(size);
  };
  Check({
      {model([](auto& m) { m.set_architecture("resnet18"); }), ""},
      {model([](auto& m) { m.clear_architecture(); }),
       "training.model.architecture: not set: must be one of mlp, mnist_cnn, "
       "resnet18"},
      {model([](auto& m) { m.set_architecture("mnist-cnn"); }),
       "training.model.architecture: \"mnist-cnn\": must be one of mlp, "
       "mnist_cnn, resnet18; did you mean \"mnist_cnn\"?"},
      {model([](auto& m) { m.set_architecture("vit_b_16"); }),
       "training.model.architecture: \"vit_b_16\": must be one of"},
      {model([](auto& m) { m.set_architecture(std::string(500, 'x')); }),
       "training.model.architecture: \"xxx"},
      {model([](auto& m) { m.set_num_classes(1); }),
       "training.model.num_classes: 1: must be 2 to 100,000"},
      {model([](auto& m) { m.set_num_classes(100'001); }),
       "training.model.num_classes: 100001: must be 2 to 100,000"},
      {model([](auto& m) { m.add_hidden_sizes(64); }),
       "training.model.hidden_sizes: only mlp has them, not mnist_cnn"},
      {model([&](auto& m) { hidden(m, 16, 65'536); }), ""},
      {model([&](auto& m) { hidden(m, 17, 8); }),
       "training.model.hidden_sizes: 17 entries: must be at most 16"},
      {model([&](auto& m) { hidden(m, 2, 0); }),
       "training.model.hidden_sizes[0]: 0: must be 1 to 65,536"},
      {model([&](auto& m) { hidden(m, 1, 65'537); }),
       "training.model.hidden_sizes[0]: 65537: must be 1 to 65,536"},
      {model([](auto& m) { m.mutable_weights(); }),
       "training.model.weights: not set: must be a path or an artifact"},
      {model([](auto& m) { m.mutable_weights()->set_artifact("abc"); }),
       "training.model.weights.artifact: \"abc\": must be \"sha256:\" and 64"},
  });
}

TEST(ValidateAndComplete, ChecksTheData) {
  const auto data = [](auto change) {
    return [change](v1::JobSpec* s) {
      change(*s->mutable_training()->mutable_data());
    };
  };
  Check({
      {data([](auto& d) { d.clear_format(); }),
       "training.data.format: not set: must be one of idx, cifar10, cifar100, "
       "image_folder"},
      {data(
           [](auto& d) { d.set_format(static_cast<v1::DataSpec::Format>(9)); }),
       "training.data.format: 9: must be one of idx"},
      {data([](auto& d) { d.clear_source(); }),
       "training.data.source: not set"},
      {data([](auto& d) { d.mutable_source()->set_path("data"); }),
       "training.data.source.path: \"data\": must be an absolute path"},
      {data([](auto& d) {
         d.mutable_source()->set_path("/" + std::string(4096, 'x'));
       }),
       "training.data.source.path: \"/xxx"},
      {data([](auto& d) {
         d.mutable_source()->set_path(std::string("/a\0b", 4));
       }),
       "training.data.source.path: \"/a\\x00\\x62\": must be"},
      {data([](auto& d) { d.mutable_source()->set_artifact(kArtifact); }), ""},
      {data([](auto& d) {
         d.mutable_source()->set_artifact(std::string(kArtifact) + "0");
       }),
       "training.data.source.artifact: "},
      {data([](auto& d) { d.mutable_source()->set_upload("./glyphs"); }),
       ""},  // for a dry run
      {data([](auto& d) { d.set_validation_split(0.9); }), ""},
      {data([](auto& d) { d.set_validation_split(0.91); }),
       "training.data.validation_split: 0.91: must be 0 to 0.9"},
      {data([](auto& d) { d.set_validation_split(-0.1); }),
       "training.data.validation_split: -0.1: must be"},
      {data([](auto& d) { d.set_validation_split(kNan); }),
       "training.data.validation_split: nan: must be"},
      {data([](auto& d) { d.set_image_size(7); }),
       "training.data.image_size: 7: must be 8 to 4,096"},
      {data([](auto& d) { d.set_image_size(4097); }),
       "training.data.image_size: 4097: must be 8 to 4,096"},
  });
}

TEST(ValidateAndComplete, RefusesAModelThatCannotFitTheData) {
  const auto pair = [](const char* architecture, v1::DataSpec::Format format,
                       uint32_t classes) {
    return [=](v1::JobSpec* s) {
      v1::TrainingSpec& t = *s->mutable_training();
      t.mutable_model()->set_architecture(architecture);
      t.mutable_model()->set_num_classes(classes);
      t.mutable_data()->set_format(format);
    };
  };
  Check({
      {pair("mnist_cnn", v1::DataSpec::FORMAT_CIFAR10, 0),
       "training.model.architecture: \"mnist_cnn\" takes images of 1x28x28"},
      {pair("mnist_cnn", v1::DataSpec::FORMAT_CIFAR100, 0),
       "training.model.architecture: \"mnist_cnn\" takes images of 1x28x28"},
      {pair("mnist_cnn", v1::DataSpec::FORMAT_IMAGE_FOLDER, 0), ""},
      {pair("resnet18", v1::DataSpec::FORMAT_CIFAR10, 10), ""},
      {pair("resnet18", v1::DataSpec::FORMAT_CIFAR100, 10),
       "training.model.num_classes: 10: must be at least 100"},
      {pair("mlp", v1::DataSpec::FORMAT_IDX, 2), ""},
  });
}

TEST(ValidateAndComplete, ChecksTheOptimizer) {
  const auto optimizer = [](auto change) {
    return [change](v1::JobSpec* s) {
      change(*s->mutable_training()->mutable_optimizer());
    };
  };
  Check({
      {optimizer([](auto& o) { o.set_learning_rate(1000); }), ""},
      {optimizer([](auto& o) { o.set_learning_rate(1001); }),
       "training.optimizer.learning_rate: 1001: must be above 0, at most"},
      {optimizer([](auto& o) { o.set_learning_rate(-0.1); }),
       "training.optimizer.learning_rate: -0.1: must be above 0"},
      {optimizer([](auto& o) { o.set_learning_rate(kNan); }),
       "training.optimizer.learning_rate: nan: must be above 0"},
      {optimizer([](auto& o) { o.set_momentum(0.9); }), ""},
      {optimizer([](auto& o) { o.set_momentum(1); }),
       "training.optimizer.momentum: 1: must be at least 0 and below 1"},
      {optimizer([](auto& o) {
         o.set_kind(v1::OptimizerSpec::KIND_ADAM);
         o.set_momentum(0.9);
       }),
       "training.optimizer.momentum: 0.9: only sgd has it"},
      {optimizer([](auto& o) { o.set_weight_decay(kInfinity); }),
       "training.optimizer.weight_decay: inf: must be 0 to 1"},
      {optimizer([](auto& o) {
         o.set_kind(static_cast<v1::OptimizerSpec::Kind>(7));
       }),
       "training.optimizer.kind: 7: must be one of sgd, adam, adamw"},
  });
}

TEST(ValidateAndComplete, ChecksWhatIsCommonToAllJobs) {
  const auto add_devices = [](v1::JobSpec* s, int count, v1::DeviceKind kind) {
    for (int i = 0; i < count; ++i) {
      s->mutable_resources()->add_devices()->set_kind(kind);
    }
  };
  const auto add_labels = [](auto* labels, int count) {
    for (int i = 0; i < count; ++i) (*labels)[std::to_string(i)] = "x";
  };
  Check({
      {[](auto* s) { s->set_name("a.B_9-"); }, ""},
      {[](auto* s) { s->set_name("two words"); },
       "name: \"two words\": must be 1 to 128 letters, digits"},
      {[](auto* s) { s->set_name(std::string(129, 'a')); }, "name: \"aaa"},
      {[](auto* s) { s->clear_training(); }, "training: not set"},
      {[](auto* s) { s->set_queue("team-a"); }, ""},
      {[](auto* s) { s->set_queue("queues/team"); },
       "queue: \"queues/team\": must be 1 to 63 lower-case letters"},
      {[](auto* s) { s->set_user("Ada Ümit"); }, ""},
      {[](auto* s) { s->set_user("a\nb"); },
       "user: must be without control characters"},
      {[](auto* s) { s->set_user(std::string(129, 'a')); },
       "user: has 129 characters: must be at most 128"},
      {[](auto* s) { s->set_priority(1001); },
       "priority: 1001: must be -1000 to 1000"},
      {[](auto* s) { s->set_priority(-1001); }, "priority: -1001: must be"},
      {[&](auto* s) { add_devices(s, 8, v1::DEVICE_KIND_CUDA); }, ""},
      {[&](auto* s) { add_devices(s, 9, v1::DEVICE_KIND_CUDA); },
       "resources.devices: 9 entries: must be at most 8"},
      {[&](auto* s) { add_devices(s, 1, v1::DEVICE_KIND_UNSPECIFIED); },
       "resources.devices[0].kind: not set: must be one of cpu, cuda, mps"},
      {[&](auto* s) { add_devices(s, 1, static_cast<v1::DeviceKind>(9)); },
       "resources.devices[0].kind: 9: must be one of cpu, cuda, mps"},
      {[&](auto* s) {
         add_devices(s, 1, v1::DEVICE_KIND_CUDA);
         s->mutable_resources()->mutable_devices(0)->set_count(65);
       },
       "resources.devices[0].count: 65: must be 1 to 64"},
      {[&](auto* s) {
         add_devices(s, 1, v1::DEVICE_KIND_MPS);
         s->mutable_resources()->mutable_devices(0)->set_count(2);
       },
       "resources.devices[0].count: 2: must be 1: a machine has one"},
      {[](auto* s) { s->mutable_retry()->set_max_retries(101); },
       "retry.max_retries: 101: must be 0 to 100"},
      {[](auto* s) { s->mutable_retry()->mutable_backoff()->set_seconds(-1); },
       "retry.backoff: -1s: must be at least 0"},
      {[](auto* s) {
         s->mutable_retry()->mutable_backoff()->set_nanos(2'000'000'000);
       },
       "retry.backoff: 0 s 2000000000 ns: must be a duration"},
      {[](auto* s) { s->mutable_limits()->mutable_run_time(); },
       "limits.run_time: 0: must be above 0"},
      {[](auto* s) {
         s->mutable_limits()->mutable_queue_time()->set_seconds(INT64_MAX);
       },
       "limits.queue_time: 9223372036854775807 s 0 ns: must be a duration"},
      {[&](auto* s) { add_labels(s->mutable_labels(), 64); }, ""},
      {[&](auto* s) { add_labels(s->mutable_labels(), 65); },
       "labels: 65 entries: must be at most 64"},
      {[](auto* s) { (*s->mutable_labels())[""] = "x"; },
       "labels: key: \"\": must be 1 to 63 characters"},
      {[](auto* s) { (*s->mutable_labels())["a"] = std::string(64, 'x'); },
       "labels[\"a\"]: \"xxx"},
      {[](auto* s) {  // 63 characters of two bytes
         std::string text;
         for (int i = 0; i < 63; ++i) text += "ä";
         (*s->mutable_labels())["a"] = text;
       },
       ""},
      {[](auto* s) {
         (*s->mutable_resources()->mutable_worker_labels())["a\n"] = "x";
       },
       "resources.worker_labels: key: \"a\\n\": must be"},
  });
}

TEST(ValidateAndComplete, RefusesASpecOverOneMebibyte) {
  v1::JobSpec spec = GoodSpec();
  spec.mutable_training()->mutable_data()->mutable_source()->set_path(
      "/" + std::string(1 << 20, 'x'));
  const absl::Status status = ValidateAndComplete(&spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("bytes: must be at most 1 MiB"));
}

TEST(ValidateAndComplete, RefusesFieldsOfANewerClient) {
  v1::JobSpec spec = GoodSpec();
  v1::OptimizerSpec& optimizer = *spec.mutable_training()->mutable_optimizer();
  optimizer.GetReflection()->MutableUnknownFields(&optimizer)->AddVarint(99, 1);
  const absl::Status status = ValidateAndComplete(&spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status),
              StartsWith("training.optimizer: has the field number 99"));
}

TEST(ValidateRequestId, TakesPrintableAsciiOnly) {
  EXPECT_TRUE(ValidateRequestId("").ok());
  EXPECT_TRUE(ValidateRequestId(std::string(64, '~')).ok());
  EXPECT_FALSE(ValidateRequestId(std::string(65, 'a')).ok());
  EXPECT_FALSE(ValidateRequestId("a\tb").ok());
  EXPECT_FALSE(ValidateRequestId("ä").ok());
}

TEST(ValidateSubmit, RefusesADryRunWithinABatch) {
  v1::SubmitJobRequest request;
  *request.mutable_spec() = GoodSpec();
  request.set_dry_run(true);
  EXPECT_TRUE(ValidateSubmit(&request, /*in_batch=*/false).ok());
  EXPECT_THAT(Message(ValidateSubmit(&request, /*in_batch=*/true)),
              StartsWith("dry_run: true: must be false in a batch"));
  request.Clear();
  EXPECT_THAT(Message(ValidateSubmit(&request, /*in_batch=*/true)),
              StartsWith("spec: not set"));
}

TEST(ValidateBatch, HasOneToTenThousandItems) {
  v1::BatchSubmitJobsRequest request;
  EXPECT_THAT(Message(ValidateBatch(request)),
              StartsWith("requests: 0: must be 1 to 10,000"));
  for (int i = 0; i < kMaxBatch; ++i) request.add_requests();
  EXPECT_TRUE(ValidateBatch(request).ok());
  request.add_requests();
  EXPECT_FALSE(ValidateBatch(request).ok());
}

TEST(ValidateWatch, NeedsNamesToEnd) {
  v1::WatchJobsRequest request;
  request.set_until_final(true);
  EXPECT_THAT(Message(ValidateWatch(request)), StartsWith("until_final: true"));
  request.mutable_filter()->add_names("jobs/1");
  EXPECT_TRUE(ValidateWatch(request).ok());
  request.set_from_revision(UINT64_MAX);
  EXPECT_THAT(Message(ValidateWatch(request)), StartsWith("from_revision: "));
}

TEST(PageSize, HasADefaultAndBounds) {
  EXPECT_EQ(*PageSize(0, 50), 50u);
  EXPECT_EQ(*PageSize(1000, 50), 1000u);
  EXPECT_THAT(Message(PageSize(1001, 50).status()),
              StartsWith("page_size: 1001: must be 1 to 1,000, or 0 for 50"));
  EXPECT_FALSE(PageSize(-1, 50).ok());
}

TEST(WithCommas, GroupsByThousands) {
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(1000), "1,000");
  EXPECT_EQ(WithCommas(1234567), "1,234,567");
}

TEST(HeadAndTail, KeepCharactersWhole) {
  EXPECT_EQ(Head("aä", 2), "a");
  EXPECT_EQ(Head("aä", 3), "aä");
  EXPECT_EQ(Tail("äa", 2), "a");
  EXPECT_EQ(Tail("äa", 3), "äa");
}

}  // namespace
}  // namespace trainyard::rpc
