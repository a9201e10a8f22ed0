#include "workers/runner/train_loop.h"

#include <unistd.h>

#include <cmath>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/runner/device.h"
#include "workers/runner/images.h"
#include "workers/runner/testing.h"

namespace trainyard::runner {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// What is asked of Train when it must fail.
std::string FailureOf(const Spec& spec, absl::StatusCode code) {
  const TestRun run = RunSpec(spec);
  EXPECT_EQ(run.end.status().code(), code) << run.end.status();
  EXPECT_TRUE(run.Of("finished").empty());
  return std::string(run.end.status().message());
}

TEST(Train, LearnsAndLeavesItsResults) {
  data::TempFolder folder;
  WriteQuadrants(folder, 400, 100);
  const Spec spec = QuadrantsSpec(folder, "w", "mnist_cnn");
  const TestRun run = RunSpec(spec);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_EQ(*run.end, RunEnd::kFinished);

  const json started = run.events.front();
  EXPECT_EQ(started["event"], "started");
  EXPECT_EQ(started["step"], 0);
  EXPECT_EQ(started["total_steps"], 50);
  EXPECT_EQ(started["device"], "cpu");
  EXPECT_EQ(started["parameters"], 93'322 - 6 * 65);  // four classes
  const json last = run.Of("metrics").back();
  EXPECT_EQ(last["step"], 50);
  EXPECT_EQ(last["epoch"], 2);
  EXPECT_GT(last["validation_accuracy"], 0.95);
  EXPECT_LT(last["validation_loss"], 0.5);
  EXPECT_EQ(run.events.back()["event"], "finished");
  EXPECT_EQ(run.events.back()["outputs"].size(), 4u);

  const std::string output = spec.work_dir + "/output/";
  const json report = json::parse(FileContent(output + "report.json"));
  EXPECT_EQ(report["steps"], 50);
  EXPECT_EQ(report["parameters"], started["parameters"]);
  EXPECT_EQ(report["validation_accuracy"], last["validation_accuracy"]);
  EXPECT_GT(report["samples_per_second"], 0);
  EXPECT_GT(report["peak_memory_bytes"], 1 << 20);
  const json model = json::parse(FileContent(output + "model.json"));
  EXPECT_EQ(model["architecture"], "mnist_cnn");
  EXPECT_EQ(model["classes"].size(), 4u);
  std::ifstream lines(output + "metrics.jsonl");
  size_t points = 0;
  for (std::string line; std::getline(lines, line); ++points) {
    json point = json::parse(line);
    point["event"] = "metrics";
    EXPECT_EQ(point, run.Of("metrics").at(points));
  }
  EXPECT_EQ(points, run.Of("metrics").size());
}

TEST(Train, ReportsEverythingOfAPoint) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  const TestRun run = RunSpec(QuadrantsSpec(folder, "w", "mlp"));
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  const json point = run.Of("metrics").front();
  for (const char* field :
       {"step", "total_steps", "epoch", "loss", "learning_rate",
        "samples_per_second", "data_wait_seconds", "step_seconds",
        "eta_seconds", "utilization"}) {
    EXPECT_TRUE(point.contains(field)) << field;
  }
  EXPECT_FALSE(point.contains("validation_loss"));
  EXPECT_FALSE(point.contains("device_memory_bytes"));
}

class EachModel : public testing::TestWithParam<const char*> {};

TEST_P(EachModel, GivesTheSameLossesAgain) {
  data::TempFolder folder;
  WriteQuadrants(folder, 48, 16);
  const TestRun one = RunSpec(QuadrantsSpec(folder, "one", GetParam()));
  const TestRun two = RunSpec(QuadrantsSpec(folder, "two", GetParam()));
  ASSERT_TRUE(one.end.ok()) << one.end.status();
  EXPECT_EQ(one.Losses(), two.Losses());
  EXPECT_EQ(one.Losses().size(), 6u);
}

// The last batch of an epoch, the middle of one, and the very end.
TEST_P(EachModel, ResumesAsIfNeverStopped) {
  data::TempFolder folder;
  WriteQuadrants(folder, 50, 16);  // the last batch of an epoch has 2 samples
  Spec spec = QuadrantsSpec(folder, "whole", GetParam());
  spec.training.augment = true;
  const TestRun whole = RunSpec(spec);
  ASSERT_TRUE(whole.end.ok()) << whole.end.status();
  const std::string weights =
      FileContent(spec.work_dir + "/output/model.safetensors");

  for (const uint64_t stop_at : {2, 4, 5, 8}) {
    Spec first = spec;
    first.work_dir =
        QuadrantsSpec(folder, absl::StrCat("a", stop_at), "mlp").work_dir;
    const TestRun before = RunSpec(first, stop_at);
    ASSERT_TRUE(before.end.ok()) << before.end.status();
    ASSERT_EQ(*before.end, RunEnd::kStopped);
    EXPECT_EQ(before.events.back()["step"], stop_at);
    const json checkpoint = before.Of("checkpoint").back();
    EXPECT_EQ(checkpoint["step"], stop_at);

    Spec second = spec;
    second.work_dir =
        QuadrantsSpec(folder, absl::StrCat("b", stop_at), "mlp").work_dir;
    second.resume = checkpoint["path"];
    const TestRun after = RunSpec(second);
    ASSERT_TRUE(after.end.ok()) << after.end.status();
    EXPECT_EQ(after.events.front()["step"], stop_at);

    std::vector<double> losses = before.Losses();
    for (const double loss : after.Losses()) losses.push_back(loss);
    EXPECT_EQ(losses, whole.Losses()) << "stopped at " << stop_at;
    EXPECT_EQ(after.Of("metrics").back()["validation_loss"],
              whole.Of("metrics").back()["validation_loss"]);
    EXPECT_EQ(FileContent(second.work_dir + "/output/model.safetensors"),
              weights);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EachModel,
                         testing::Values("mlp", "mnist_cnn", "resnet18"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST(Train, GivesTheSameLossesAgainOnTwoThreads) {
  data::TempFolder folder;
  WriteQuadrants(folder, 48, 16);
  Spec one = QuadrantsSpec(folder, "one", "mnist_cnn");
  Spec two = QuadrantsSpec(folder, "two", "mnist_cnn");
  one.training.threads = two.training.threads = 2;
  EXPECT_EQ(RunSpec(one).Losses(), RunSpec(two).Losses());
}

TEST(Train, WritesCheckpointsWhenDue) {
  data::TempFolder folder;
  WriteQuadrants(folder, 160, 16);
  Spec spec = QuadrantsSpec(folder, "w", "mlp");
  spec.training.checkpoint.every_steps = 6;
  const TestRun run = RunSpec(spec);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  std::vector<int> steps;
  for (const json& event : run.Of("checkpoint")) steps.push_back(event["step"]);
  EXPECT_EQ(steps, (std::vector<int>{6, 12, 18}));
  EXPECT_NE(
      access(run.Of("checkpoint")[0]["path"].get<std::string>().c_str(), F_OK),
      0);

  spec = QuadrantsSpec(folder, "by_time", "mlp");
  spec.training.checkpoint.every_seconds = 30;
  EXPECT_GT(RunSpec(spec).Of("checkpoint").size(), 1u);
}

TEST(Train, ObeysACheckpointCommand) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  const Spec spec = QuadrantsSpec(folder, "w", "mlp");
  SteppingClock clock;
  Mailbox mailbox;
  KeptEvents events([&](const json& event) {
    if (event["event"] == "metrics" && event["step"] == 3) {
      mailbox.AskForCheckpoint();
    }
  });
  const auto end = Train(spec, {&clock, &events, &mailbox});
  ASSERT_TRUE(end.ok()) << end.status();
  ASSERT_EQ(events.Of("checkpoint").size(), 1u);
  EXPECT_EQ(events.Of("checkpoint")[0]["step"], 3);
}

TEST(Train, StopsBeforeItsFirstStepToo) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  SteppingClock clock;
  Mailbox mailbox;
  mailbox.AskToStop();
  KeptEvents events;
  const auto end =
      Train(QuadrantsSpec(folder, "w", "mlp"), {&clock, &events, &mailbox});
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(*end, RunEnd::kStopped);
  EXPECT_EQ(events.all().back()["step"], 0);
}

TEST(Train, EndsAtMaxSteps) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  Spec spec = QuadrantsSpec(folder, "w", "mlp");
  spec.training.epochs = 1000;
  spec.training.max_steps = 5;
  const TestRun run = RunSpec(spec);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_EQ(run.events.front()["total_steps"], 5);
  EXPECT_EQ(run.Of("metrics").back()["step"], 5);
  EXPECT_TRUE(run.Of("metrics").back().contains("validation_accuracy"));
}

TEST(Train, FinishesAResumedJobThatWasCutShorter) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  const Spec first = QuadrantsSpec(folder, "a", "mlp");
  const TestRun before = RunSpec(first, /*stop_at=*/6);
  ASSERT_FALSE(before.Of("checkpoint").empty());
  Spec second = QuadrantsSpec(folder, "b", "mlp");
  second.resume = before.Of("checkpoint").back()["path"];
  second.training.max_steps = 3;
  const TestRun after = RunSpec(second);
  ASSERT_TRUE(after.end.ok()) << after.end.status();
  EXPECT_EQ(*after.end, RunEnd::kFinished);
  EXPECT_EQ(after.Of("metrics").size(), 1u);
  EXPECT_EQ(after.Of("metrics")[0]["step"], 6);
}

TEST(Train, LeavesOutABatchThatIsTooSmall) {
  data::TempFolder folder;
  WriteQuadrants(folder, 33, 16);
  Spec spec = QuadrantsSpec(folder, "w", "resnet18");
  spec.training.epochs = 1;
  const TestRun run = RunSpec(spec);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_EQ(run.events.front()["total_steps"], 2);
  spec = QuadrantsSpec(folder, "v", "resnet18");
  spec.training.batch_size = 1;
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kInvalidArgument),
              HasSubstr("training.batch_size is 1"));
}

TEST(Train, SaysThatItDiverged) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  Spec spec = QuadrantsSpec(folder, "w", "mnist_cnn");
  spec.training.optimizer.learning_rate = 1000;
  spec.training.epochs = 20;
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kFailedPrecondition),
              HasSubstr("training.optimizer.learning_rate below 1000"));
}

TEST(Train, NamesWhatIsWrong) {
  data::TempFolder folder;
  WriteQuadrants(folder, 64, 16);
  Spec spec = QuadrantsSpec(folder, "w", "resnet81");
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kInvalidArgument),
              HasSubstr("did you mean \"resnet18\"?"));
  spec = QuadrantsSpec(folder, "w", "mlp");
  spec.training.model.num_classes = 3;
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kInvalidArgument),
              HasSubstr("training.model.num_classes is 3, but the data has 4"));
  spec = QuadrantsSpec(folder, "w", "mlp");
  spec.training.model.weights = "/nowhere/w.safetensors";
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kNotFound),
              HasSubstr("/nowhere/w.safetensors"));
  spec = QuadrantsSpec(folder, "w", "mlp");
  spec.training.data.path = "/nowhere";
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kNotFound),
              HasSubstr("/nowhere"));
  spec = QuadrantsSpec(folder, "w", "mlp");
  spec.resume = folder.Write("junk", "junk");
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kUnavailable),
              HasSubstr("cannot resume from"));
  spec = QuadrantsSpec(folder, "w", "mlp");
  spec.work_dir = "/nowhere";
  EXPECT_THAT(FailureOf(spec, absl::StatusCode::kUnavailable),
              HasSubstr("/nowhere/output"));
}

TEST(Train, StartsFromGivenWeights) {
  data::TempFolder folder;
  WriteQuadrants(folder, 400, 100);
  const Spec first = QuadrantsSpec(folder, "one", "mnist_cnn");
  ASSERT_TRUE(RunSpec(first).end.ok());
  Spec second = QuadrantsSpec(folder, "two", "mnist_cnn");
  second.training.model.weights = first.work_dir + "/output/model.safetensors";
  second.training.optimizer = {};
  second.training.optimizer.learning_rate = 1e-9;
  second.training.max_steps = 1;
  const TestRun run = RunSpec(second);
  ASSERT_TRUE(run.end.ok()) << run.end.status();
  EXPECT_GT(run.Of("metrics").back()["validation_accuracy"], 0.95);
}

TEST(SelectDevice, NamesADeviceThatIsNotThere) {
  for (const DeviceKind kind : {DeviceKind::kCuda, DeviceKind::kMps}) {
    const auto device = SelectDevice({.kind = kind, .index = 99});
    if (device.ok()) continue;  // a Mac
    EXPECT_EQ(device.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(device.status().ToString(), HasSubstr("device."));
  }
  EXPECT_TRUE(SelectDevice({}).ok());
}

TEST(Augmented, DependsOnItsSeedAlone) {
  const torch::Tensor images =
      torch::randint(256, {8, 3, 32, 32}, torch::kUInt8);
  EXPECT_TRUE(torch::equal(Augmented(images, 1), Augmented(images, 1)));
  EXPECT_FALSE(torch::equal(Augmented(images, 1), Augmented(images, 2)));
}

TEST(Augmented, ShiftsAndKeepsWhatStaysInside) {
  torch::Tensor images = torch::zeros({64, 1, 28, 28}, torch::kUInt8);
  images.index_put_({torch::indexing::Slice(), 0, 14, 10}, 200);
  const torch::Tensor moved = Augmented(images, 7);
  EXPECT_EQ(moved.sizes(), images.sizes());
  EXPECT_TRUE((moved.sum({1, 2, 3}) == 200).all().item<bool>());
  const torch::Tensor at = moved.nonzero();
  const torch::Tensor dy = at.select(1, 2) - 14;
  const torch::Tensor dx = at.select(1, 3) - 10;
  EXPECT_EQ(dy.abs().max().item<int64_t>(), 3);  // 28 / 8
  EXPECT_EQ(dx.abs().max().item<int64_t>(), 3);
  EXPECT_FALSE(torch::equal(dy, dx));
}

TEST(Augmented, FlipsColourImagesOnly) {
  torch::Tensor images = torch::zeros({64, 3, 32, 32}, torch::kUInt8);
  images.index_put_({torch::indexing::Slice(), torch::indexing::Slice(), 16, 8},
                    100);
  const torch::Tensor at = Augmented(images, 7).nonzero().select(1, 3);
  const int64_t right = (at > 16).sum().item<int64_t>();
  EXPECT_GT(right, 64);  // of 192
  EXPECT_LT(right, 128);
}

TEST(ImageFeed, NormalisesEachChannel) {
  std::vector<uint8_t> pixels = {0, 255, 0, 255};  // 1 x 2 x 1 x 2
  std::vector<int64_t> labels = {1};
  const data::Batch batch = {
      .index = 0, .size = 1, .pixels = pixels.data(), .labels = labels.data()};
  const ImageFeed feed(
      {.shape = {2, 1, 2},
       .normalization = {.mean = {0.5f, 0.25f}, .stddev = {0.5f, 0.25f}}});
  const Fed fed = feed.ForValidation(batch);
  EXPECT_TRUE(torch::allclose(
      fed.images,
      torch::tensor({-1.0f, 1.0f, -1.0f, 3.0f}).view({1, 2, 1, 2})));
  EXPECT_EQ(fed.labels[0].item<int64_t>(), 1);
}

}  // namespace
}  // namespace trainyard::runner
