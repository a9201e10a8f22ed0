#include "workers/runner/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "workers/runner/data/memory_dataset.h"
#include "workers/runner/data/normalization.h"
#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

void WriteIdx(const TempFolder& folder, uint32_t train, uint32_t test,
              uint32_t side = 2) {
  folder.Write("train-images-idx3-ubyte", IdxImages(train, side, side));
  folder.Write("train-labels-idx1-ubyte", IdxLabels(train, 4));
  if (test == 0) return;
  folder.Write("t10k-images-idx3-ubyte", IdxImages(test, 2, 2));
  folder.Write("t10k-labels-idx1-ubyte", IdxLabels(test, 4));
}

std::vector<int64_t> FirstPixels(const Dataset& dataset) {
  std::vector<int64_t> values;
  std::vector<uint8_t> pixels(
      static_cast<size_t>(dataset.sample_shape().size()));
  int64_t label = 0;
  for (uint32_t i = 0; i < dataset.num_samples(); ++i) {
    EXPECT_TRUE(dataset.Read({i}, pixels.data(), &label).ok());
    values.push_back(pixels[0]);
  }
  return values;
}

TEST(OpenDatasetTest, TakesTheTestPartWhereThereIsOne) {
  TempFolder folder;
  WriteIdx(folder, 40, 8);
  absl::StatusOr<DatasetParts> parts = OpenDataset({.path = folder.path()});
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->num_samples(), 40u);
  EXPECT_EQ(parts->validation->num_samples(), 8u);
  parts = OpenDataset({.path = folder.path(), .validation_split = 0.25});
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->num_samples(), 30u);
  EXPECT_EQ(parts->validation->num_samples(), 10u);
}

TEST(OpenDatasetTest, HoldsOutATenthElse) {
  TempFolder folder;
  WriteIdx(folder, 40, 0);
  const absl::StatusOr<DatasetParts> parts =
      OpenDataset({.path = folder.path()});
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->num_samples(), 36u);
  EXPECT_THAT(parts->validation->labels(), UnorderedElementsAre(0, 1, 2, 3));
  std::vector<int64_t> all = FirstPixels(*parts->train);
  for (int64_t value : FirstPixels(*parts->validation)) all.push_back(value);
  EXPECT_EQ(std::set<int64_t>(all.begin(), all.end()).size(), 40u);
}

TEST(OpenDatasetTest, SplitsBySeed) {
  TempFolder folder;
  WriteIdx(folder, 60, 0);
  const auto held = [&](uint64_t seed) {
    const absl::StatusOr<DatasetParts> parts = OpenDataset(
        {.path = folder.path(), .validation_split = 0.5, .seed = seed});
    return FirstPixels(*parts->validation);
  };
  EXPECT_EQ(held(1), held(1));
  EXPECT_NE(held(1), held(2));
}

TEST(OpenDatasetTest, LimitsTheTrainingSamplesInProportion) {
  TempFolder folder;
  WriteIdx(folder, 40, 8);
  absl::StatusOr<DatasetParts> parts =
      OpenDataset({.path = folder.path(), .max_samples = 4});
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(parts->train->labels(), UnorderedElementsAre(0, 1, 2, 3));
  EXPECT_EQ(parts->validation->num_samples(), 8u);
  parts = OpenDataset(
      {.path = folder.path(), .validation_split = 0.5, .max_samples = 16});
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->num_samples(), 8u);
  EXPECT_EQ(parts->validation->num_samples(), 8u);
}

TEST(OpenDatasetTest, OpensEveryFormat) {
  TempFolder ten, hundred, images;
  ten.Write("data_batch_1.bin", CifarRecords({1, 1, 2, 2}, 1));
  hundred.Write("train.bin", CifarRecords({1, 1, 2, 2}, 2));
  for (const char* name : {"a/1.png", "a/2.png", "b/1.png", "b/2.png"}) {
    images.Write(
        name, EncodePng(MakeImage(9, 9, 1, [](int, int, int) { return 7; })));
  }
  const struct {
    const char* format;
    std::string path;
    int classes;
    SampleShape shape;
  } rows[] = {{"cifar10", ten.path(), 10, {3, 32, 32}},
              {"cifar100", hundred.path(), 100, {3, 32, 32}},
              {"image_folder", images.path(), 2, {3, 224, 224}}};
  for (const auto& row : rows) {
    const absl::StatusOr<DataFormat> format = ParseDataFormat(row.format);
    ASSERT_TRUE(format.ok());
    const absl::StatusOr<DatasetParts> parts = OpenDataset(
        {.format = *format, .path = row.path, .validation_split = 0.5});
    ASSERT_TRUE(parts.ok()) << parts.status();
    EXPECT_EQ(parts->train->num_classes(), row.classes);
    EXPECT_EQ(parts->train->sample_shape(), row.shape);
    EXPECT_EQ(parts->validation->num_samples(), 2u);
    EXPECT_EQ(parts->normalization.mean.size(), 3u);
  }
}

TEST(OpenDatasetTest, NamesTheOptionThatIsWrong) {
  TempFolder folder;
  WriteIdx(folder, 40, 0);
  const std::string path = folder.path();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const struct {
    DataOptions options;
    const char* message;
  } rows[] = {
      {{}, "data.source"},
      {{.path = path + "/none"}, "cannot find"},
      {{.path = path + "/train-images-idx3-ubyte"}, "is not a folder"},
      {{.path = path, .validation_split = -0.1},
       "data.validation_split is -0.1"},
      {{.path = path, .validation_split = 0.95}, "it must be 0 to 0.9"},
      {{.path = path, .validation_split = nan}, "data.validation_split is nan"},
      {{.path = path, .image_size = 7},
       "data.image_size is 7; it must be 8 to 4096"},
      {{.path = path, .image_size = 5000}, "data.image_size is 5000"},
      {{.path = path, .max_samples = 1}, "too few to hold some out"},
  };
  for (const auto& row : rows) {
    EXPECT_THAT(std::string(OpenDataset(row.options).status().message()),
                HasSubstr(row.message));
  }
  EXPECT_THAT(std::string(ParseDataFormat("idxx").status().message()),
              HasSubstr("data.format is \"idxx\"; it must be idx,"));
}

TEST(OpenDatasetTest, RefusesPartsThatDoNotFit) {
  TempFolder sizes;
  WriteIdx(sizes, 8, 4, 3);
  EXPECT_THAT(
      std::string(OpenDataset({.path = sizes.path()}).status().message()),
      HasSubstr("training images are 3 x 3 pixels, test images 2 x 2"));
  TempFolder one;
  one.Write("train-images-idx3-ubyte", IdxImages(4, 2, 2));
  one.Write("train-labels-idx1-ubyte", IdxLabels(4, 1));
  EXPECT_THAT(std::string(OpenDataset({.path = one.path()}).status().message()),
              HasSubstr("has 1 classes; it must have 2 to 100000"));
}

TEST(OpenForPredictionTest, TakesSamplesWithoutLabels) {
  TempFolder idx;
  idx.Write("t10k-images-idx3-ubyte", IdxImages(9, 2, 2));
  TempFolder images;
  for (const char* name : {"1.png", "2.png", "3.png"}) {
    images.Write(
        name, EncodePng(MakeImage(9, 9, 1, [](int, int, int) { return 7; })));
  }
  const DataOptions rows[] = {
      {.path = idx.path(), .max_samples = 2},
      {.format = DataFormat::kImageFolder,
       .path = images.path(),
       .max_samples = 2},
  };
  for (const DataOptions& options : rows) {
    EXPECT_FALSE(OpenDataset(options).ok());
    const absl::StatusOr<PredictedPart> part = OpenForPrediction(options);
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_EQ(part->samples->num_samples(), 2u);
    EXPECT_EQ(part->samples->num_classes(), 0);
    EXPECT_THAT(part->samples->labels(), ElementsAre(kNoLabel, kNoLabel));
    EXPECT_EQ(part->normalization.mean.size(),
              static_cast<size_t>(part->samples->sample_shape().channels));
  }
}

TEST(OpenForPredictionTest, TakesTheTestPartWithItsLabels) {
  TempFolder folder;
  WriteIdx(folder, 40, 8);
  const absl::StatusOr<PredictedPart> part =
      OpenForPrediction({.path = folder.path()});
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_THAT(part->samples->labels(), ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_EQ(part->samples->num_classes(), 4);
}

TEST(NormalizationTest, IsExact) {
  // Two samples of two channels of two pixels: channel 0 has 0, 255, 51, 102;
  // channel 1 is 9.
  std::unique_ptr<uint8_t[]> pixels(
      new uint8_t[8]{0, 255, 9, 9, 51, 102, 9, 9});
  const MemoryDataset dataset({2, 1, 2}, std::move(pixels), {0, 1}, {"a", "b"});
  const absl::StatusOr<Normalization> normalization = NormalizationOf(dataset);
  ASSERT_TRUE(normalization.ok());
  EXPECT_FLOAT_EQ(normalization->mean[0], 0.4f);
  EXPECT_FLOAT_EQ(normalization->stddev[0],
                  static_cast<float>(std::sqrt((0.16 + 0.36 + 0.04 + 0) / 4)));
  EXPECT_FLOAT_EQ(normalization->mean[1], 9.0f / 255);
  EXPECT_EQ(normalization->stddev[1], 1);
}

TEST(NormalizationTest, AddsUpManyBrightPixels) {
  const uint32_t count = 300;
  const int side = 256;
  std::unique_ptr<uint8_t[]> pixels(new uint8_t[count * side * side]);
  for (uint32_t i = 0; i < count * side * side; ++i)
    pixels[i] = i % 2 == 0 ? 255 : 254;
  const MemoryDataset dataset({1, side, side}, std::move(pixels),
                              std::vector<int32_t>(count), {"a", "b"});
  const absl::StatusOr<Normalization> normalization = NormalizationOf(dataset);
  EXPECT_FLOAT_EQ(normalization->mean[0], 254.5f / 255);
  EXPECT_FLOAT_EQ(normalization->stddev[0], 0.5f / 255);
}

}  // namespace
}  // namespace trainyard::data
