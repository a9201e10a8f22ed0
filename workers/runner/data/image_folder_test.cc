#include "workers/runner/data/image_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Flat(int value) {
  return EncodePng(
      MakeImage(12, 10, 3, [value](int, int, int) { return value; }));
}

std::string ErrorOf(const TempFolder& folder) {
  return std::string(OpenImageFolder(folder.path(), 8).status().message());
}

// First pixel of each sample.
std::vector<int> FirstPixels(const Dataset& dataset) {
  std::vector<int> values;
  std::vector<uint8_t> pixels(
      static_cast<size_t>(dataset.sample_shape().size()));
  int64_t label = 0;
  for (uint32_t i = 0; i < dataset.num_samples(); ++i) {
    const absl::Status status = dataset.Read({i}, pixels.data(), &label);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(label, dataset.labels()[i]);
    values.push_back(pixels[0]);
  }
  return values;
}

TEST(ImageFolderTest, ReadsAFolderPerClassSortedByName) {
  TempFolder folder;
  folder.Write("dog/2.PNG", Flat(20));
  folder.Write("dog/1.png", Flat(10));
  folder.Write("dog/old/0.png", Flat(30));
  folder.Write("cat/a.JpEg", EncodeJpeg(MakeImage(
                                 12, 10, 3, [](int, int, int) { return 90; })));
  folder.Write("cat/notes.txt", "not an image");
  folder.Write("cat/.hidden.png", "not an image");
  folder.Write(".git/x.png", "not an image");
  folder.Write("README.md", "text");
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  const Dataset& train = *parts->train;
  EXPECT_THAT(train.class_names(), ElementsAre("cat", "dog"));
  EXPECT_THAT(train.labels(), ElementsAre(0, 1, 1, 1));
  EXPECT_EQ(train.sample_shape(), (SampleShape{3, 8, 8}));
  EXPECT_FALSE(train.in_memory());
  EXPECT_THAT(FirstPixels(train), ElementsAre(90, 10, 20, 30));
  EXPECT_EQ(parts->test, nullptr);
}

TEST(ImageFolderTest, TakesTrainAndVal) {
  TempFolder folder;
  folder.Write("train/cat/1.png", Flat(1));
  folder.Write("train/dog/1.png", Flat(2));
  folder.Write("train/elk/1.png", Flat(3));
  folder.Write("val/elk/1.png", Flat(4));
  folder.Write("val/cat/1.png", Flat(5));
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(parts->train->class_names(), ElementsAre("cat", "dog", "elk"));
  EXPECT_THAT(parts->test->class_names(), ElementsAre("cat", "dog", "elk"));
  EXPECT_THAT(parts->test->labels(), ElementsAre(0, 2));
  EXPECT_THAT(FirstPixels(*parts->test), ElementsAre(5, 4));

  folder.Write("val/fox/1.png", Flat(6));
  EXPECT_THAT(ErrorOf(folder), HasSubstr("val/fox has no counterpart"));
}

TEST(ImageFolderTest, AClassMayBeCalledTrain) {
  TempFolder folder;
  folder.Write("car/1.png", Flat(1));
  folder.Write("train/1.png", Flat(2));
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(parts->train->class_names(), ElementsAre("car", "train"));
}

TEST(ImageFolderTest, RefusesWhatHoldsNoImages) {
  TempFolder folder;
  EXPECT_THAT(ErrorOf(folder), HasSubstr("must hold one per class"));
  folder.Write("cat/1.png", Flat(1));
  folder.Write("dog/1.gif", "GIF89a");
  EXPECT_THAT(ErrorOf(folder),
              HasSubstr("dog holds no .jpg, .jpeg or .png file"));
}

TEST(ImageFolderTest, TakesImagesWithoutClassesWhereLabelsAreOptional) {
  TempFolder folder;
  for (const char* name : {"b.png", "a 10.PNG", "a 9.png"}) {
    folder.Write(name, Flat(name[2]));
  }
  folder.Write("notes.txt", "not an image");
  folder.Write(".thumbs/a.png", "hidden");
  folder.Link("c.png", "b.png");
  EXPECT_THAT(ErrorOf(folder),
              AllOf(HasSubstr("holds images but no folders; it must hold one "
                              "folder per class"),
                    HasSubstr("not trained on")));

  const absl::StatusOr<RawParts> parts =
      OpenImageFolder(folder.path(), 8, Labels::kOptional);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->test, nullptr);
  const Dataset& samples = *parts->train;
  ASSERT_EQ(samples.num_samples(), 4u);
  EXPECT_EQ(samples.num_classes(), 0);
  EXPECT_FALSE(samples.in_memory());
  EXPECT_THAT(samples.labels(), Each(kNoLabel));
  EXPECT_THAT(FirstPixels(samples), ElementsAre('1', '9', 'p', 'p'));
  EXPECT_EQ(samples.sample_name(0), "a 10.PNG");
  EXPECT_EQ(samples.sample_name(1), "a 9.png");
  EXPECT_EQ(samples.sample_name(2), "b.png");
}

TEST(ImageFolderTest,
     TakesAValidationPartWithoutClassesWhereLabelsAreOptional) {
  TempFolder folder;
  folder.Write("train/cat/1.png", Flat(1));
  folder.Write("train/dog/1.png", Flat(2));
  folder.Write("val/2.png", Flat(4));
  folder.Write("val/1.png", Flat(3));
  EXPECT_THAT(ErrorOf(folder), HasSubstr("val holds images but no folders"));
  const absl::StatusOr<RawParts> parts =
      OpenImageFolder(folder.path(), 8, Labels::kOptional);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->num_classes(), 2);
  ASSERT_NE(parts->test, nullptr);
  EXPECT_EQ(parts->test->num_classes(), 0);
  EXPECT_THAT(FirstPixels(*parts->test), ElementsAre(3, 4));
  EXPECT_EQ(parts->test->sample_name(0), "val/1.png");
}

TEST(ImageFolderTest, RefusesImagesBesideClassFolders) {
  for (const char* below : {"", "train/", "val/"}) {
    TempFolder folder;
    folder.Write("train/cat/1.png", Flat(1));
    folder.Write("val/cat/1.png", Flat(2));
    folder.Write(std::string(below) + "stray.jpg", "never read");
    for (const Labels labels : {Labels::kRequired, Labels::kOptional}) {
      const absl::Status status =
          OpenImageFolder(folder.path(), 8, labels).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << below;
      EXPECT_THAT(std::string(status.message()),
                  AllOf(HasSubstr(std::string(below) + "stray.jpg) beside"),
                        HasSubstr("either one folder per class or")));
    }
  }
}

TEST(ImageFolderTest, RefusesAFolderWithoutImagesAlsoWithoutLabels) {
  TempFolder outside;
  outside.Write("secret.png", Flat(99));
  TempFolder folder;
  folder.Write("notes.txt", "not an image");
  absl::Status status =
      OpenImageFolder(folder.path(), 8, Labels::kOptional).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("or .jpg, .jpeg or .png files to be predicted"));
  folder.Link("a.png", outside.path() + "/secret.png");
  status = OpenImageFolder(folder.path(), 8, Labels::kOptional).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
}

TEST(ImageFolderTest, FollowsLinksInsideAndRefusesThoseThatLeave) {
  TempFolder outside;
  outside.Write("secret.png", Flat(99));
  TempFolder folder;
  folder.Write("cat/1.png", Flat(1));
  folder.Write("dog/1.png", Flat(2));
  folder.Link("dog/2.png", "../cat/1.png");
  folder.Link("dog/again", "../dog");  // a circle
  absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(FirstPixels(*parts->train), ElementsAre(1, 2, 1));

  const struct {
    const char* name;
    std::string target;
  } rows[] = {{"dog/3.png", outside.path() + "/secret.png"},
              {"dog/more", outside.path()},
              {"elk", outside.path()},
              {"dog/up", "../.."}};
  for (const auto& row : rows) {
    folder.Link(row.name, row.target);
    const absl::Status status = OpenImageFolder(folder.path(), 8).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.name));
    std::filesystem::remove(folder.path() + "/" + row.name);
  }
}

TEST(ImageFolderTest, RefusesALinkPutThereLater) {
  TempFolder outside;
  outside.Write("secret.png", Flat(99));
  TempFolder folder;
  const std::string path = folder.Write("cat/1.png", Flat(1));
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  std::filesystem::remove(path);
  folder.Link("cat/1.png", outside.path() + "/secret.png");
  std::vector<uint8_t> pixels(192);
  int64_t label = 0;
  EXPECT_EQ(parts->train->Read({0}, pixels.data(), &label).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST(ImageFolderTest, NamesTheCorruptFile) {
  TempFolder folder;
  folder.Write("cat/good.png", Flat(1));
  const std::string path = folder.Write("dog/bad.jpg", "\xFF\xD8\xFF rubbish");
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  std::vector<uint8_t> pixels(2 * 192);
  std::vector<int64_t> labels(2);
  const absl::Status status =
      parts->train->Read({0, 1}, pixels.data(), labels.data());
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(path));
}

TEST(ImageFolderTest, CleansTheNamesOfClasses) {
  TempFolder folder;
  folder.Write("b\xFF", "");  // a file, no class
  folder.Write("a\n/1.png", Flat(1));
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(parts->train->class_names(), ElementsAre("a?"));
}

TEST(ImageFolderTest, ReadsFromManyThreads) {
  TempFolder folder;
  for (int i = 0; i < 20; ++i)
    folder.Write("cat/" + std::to_string(10 + i) + ".png", Flat(i));
  const absl::StatusOr<RawParts> parts = OpenImageFolder(folder.path(), 8);
  ASSERT_TRUE(parts.ok()) << parts.status();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&parts] {
      const std::vector<int> pixels = FirstPixels(*parts->train);
      for (int i = 0; i < 20; ++i) EXPECT_EQ(pixels[static_cast<size_t>(i)], i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace trainyard::data
