#include "workers/runner/data/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/runner/data/prng.h"
#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kImages[] = "train-images-idx3-ubyte";
constexpr char kLabels[] = "train-labels-idx1-ubyte";

std::string ErrorOf(const std::string& folder) {
  return std::string(OpenIdx(folder).status().message());
}

TEST(IdxTest, ReadsPlainAndGzip) {
  for (bool packed : {false, true}) {
    TempFolder folder;
    const auto write = [&](const std::string& name, const std::string& bytes) {
      folder.Write(packed ? name + ".gz" : name, packed ? Gzip(bytes) : bytes);
    };
    write(kImages, IdxImages(7, 3, 4));
    write(kLabels, IdxLabels(7, 3));
    write("t10k-images-idx3-ubyte", IdxImages(2, 3, 4));
    write("t10k-labels-idx1-ubyte", IdxLabels(2, 3));

    const absl::StatusOr<RawParts> parts = OpenIdx(folder.path());
    ASSERT_TRUE(parts.ok()) << parts.status();
    const Dataset& train = *parts->train;
    EXPECT_EQ(train.num_samples(), 7u);
    EXPECT_EQ(train.sample_shape(), (SampleShape{1, 3, 4}));
    EXPECT_THAT(train.class_names(), ElementsAre("0", "1", "2"));
    EXPECT_THAT(train.labels(), ElementsAre(0, 1, 2, 0, 1, 2, 0));
    std::vector<uint8_t> pixels(24);
    std::vector<int64_t> labels(2);
    ASSERT_TRUE(train.Read({5, 1}, pixels.data(), labels.data()).ok());
    EXPECT_EQ(pixels[0], 60);
    EXPECT_EQ(pixels[12], 12);
    EXPECT_EQ(pixels[23], 23);
    EXPECT_THAT(labels, ElementsAre(2, 1));
    ASSERT_NE(parts->test, nullptr);
    EXPECT_EQ(parts->test->num_samples(), 2u);
  }
}

TEST(IdxTest, NeedsNoTestPart) {
  TempFolder folder;
  folder.Write(kImages, IdxImages(3, 2, 2));
  folder.Write(std::string(kLabels) + ".gz", Gzip(IdxLabels(3, 3)));
  const absl::StatusOr<RawParts> parts = OpenIdx(folder.path());
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->test, nullptr);
}

TEST(IdxTest, SaysWhichFilesAreMissing) {
  TempFolder folder;
  EXPECT_THAT(ErrorOf(folder.path()),
              HasSubstr("train-images-idx3-ubyte[.gz]"));
  folder.Write(kImages, IdxImages(3, 2, 2));
  EXPECT_THAT(ErrorOf(folder.path()),
              AllOf(HasSubstr("train-labels-idx1-ubyte[.gz] is missing"),
                    HasSubstr("not trained on")));
}

TEST(IdxTest, TakesImagesWithoutLabelsWhereTheyAreOptional) {
  TempFolder folder;
  folder.Write(kImages, IdxImages(7, 3, 4));
  absl::StatusOr<RawParts> parts = OpenIdx(folder.path(), Labels::kOptional);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->test, nullptr);
  EXPECT_EQ(parts->train->num_samples(), 7u);
  EXPECT_EQ(parts->train->num_classes(), 0);
  EXPECT_THAT(parts->train->labels(), Each(kNoLabel));
  std::vector<uint8_t> pixels(24);
  std::vector<int64_t> labels(2);
  ASSERT_TRUE(parts->train->Read({5, 1}, pixels.data(), labels.data()).ok());
  EXPECT_EQ(pixels[0], 60);
  EXPECT_EQ(pixels[12], 12);
  EXPECT_THAT(labels, ElementsAre(kNoLabel, kNoLabel));

  // The other part may have its labels, and then has classes of its own.
  folder.Write("t10k-images-idx3-ubyte.gz", Gzip(IdxImages(4, 3, 4)));
  folder.Write("t10k-labels-idx1-ubyte", IdxLabels(4, 3));
  parts = OpenIdx(folder.path(), Labels::kOptional);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->train->num_classes(), 0);
  EXPECT_THAT(parts->test->class_names(), ElementsAre("0", "1", "2"));
  EXPECT_THAT(parts->test->labels(), ElementsAre(0, 1, 2, 0));
}

TEST(IdxTest, TakesATestPartWithoutLabelsWhereTheyAreOptional) {
  TempFolder folder;
  folder.Write(kImages, IdxImages(4, 2, 2));
  folder.Write(kLabels, IdxLabels(4, 2));
  folder.Write("t10k-images-idx3-ubyte", IdxImages(3, 2, 2));
  EXPECT_THAT(ErrorOf(folder.path()),
              HasSubstr("t10k-labels-idx1-ubyte[.gz] is missing"));
  const absl::StatusOr<RawParts> parts =
      OpenIdx(folder.path(), Labels::kOptional);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(parts->train->labels(), ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(parts->test->labels(), ElementsAre(kNoLabel, kNoLabel, kNoLabel));
  EXPECT_EQ(parts->test->num_classes(), 0);
}

TEST(IdxTest, TakesATestPartAloneWhereLabelsAreOptional) {
  TempFolder folder;
  const auto error = [&folder] {
    return std::string(
        OpenIdx(folder.path(), Labels::kOptional).status().message());
  };
  EXPECT_THAT(error(), HasSubstr("or t10k-images-idx3-ubyte[.gz] must be"));
  folder.Write("t10k-labels-idx1-ubyte", IdxLabels(3, 3));
  EXPECT_THAT(error(), HasSubstr("t10k-images-idx3-ubyte[.gz] is missing"));
  folder.Write("t10k-images-idx3-ubyte", IdxImages(4, 2, 2));
  EXPECT_THAT(error(), AllOf(HasSubstr("4 images"), HasSubstr("3 labels")));
  folder.Write("t10k-images-idx3-ubyte", IdxImages(3, 2, 2));
  const absl::StatusOr<RawParts> parts =
      OpenIdx(folder.path(), Labels::kOptional);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ(parts->test, nullptr);
  EXPECT_THAT(parts->train->labels(), ElementsAre(0, 1, 2));
  EXPECT_THAT(ErrorOf(folder.path()),
              HasSubstr("train-images-idx3-ubyte[.gz] and"));
}

struct BadIdx {
  const char* name;
  std::string images;
  std::string labels;
  std::vector<const char*> messages;
};

class HostileIdx : public ::testing::TestWithParam<BadIdx> {};

TEST_P(HostileIdx, IsRefusedPlain) {
  TempFolder folder;
  folder.Write(kImages, GetParam().images);
  folder.Write(kLabels, GetParam().labels);
  for (const char* message : GetParam().messages) {
    EXPECT_THAT(ErrorOf(folder.path()), HasSubstr(message));
  }
}

TEST_P(HostileIdx, IsRefusedPacked) {
  TempFolder folder;
  folder.Write(std::string(kImages) + ".gz", Gzip(GetParam().images));
  folder.Write(std::string(kLabels) + ".gz", Gzip(GetParam().labels));
  EXPECT_FALSE(OpenIdx(folder.path()).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Table, HostileIdx,
    ::testing::Values(BadIdx{"BadMagic",
                             IdxBytes(0x804, {1, 2, 2}, "1234"),
                             IdxLabels(1, 1),
                             {kImages, "0x00000804", "0x00000803"}},
                      BadIdx{"Swapped",
                             IdxLabels(40, 2),
                             IdxImages(2, 3, 3),
                             {"no IDX file of labels"}},
                      BadIdx{"EmptyFile",
                             "",
                             IdxLabels(1, 1),
                             {"expected 16 bytes, found 0"}},
                      BadIdx{"ShortHeader",
                             IdxImages(1, 2, 2).substr(0, 9),
                             IdxLabels(1, 1),
                             {"expected 16 bytes, found 9"}},
                      BadIdx{"NoSamples",
                             IdxBytes(0x803, {0, 2, 2}, ""),
                             IdxBytes(0x801, {0}, ""),
                             {"holds no samples"}},
                      BadIdx{"NoPixels",
                             IdxBytes(0x803, {1, 0, 2}, ""),
                             IdxLabels(1, 1),
                             {"0 x 2 pixels"}},
                      BadIdx{"HugeImages",
                             IdxBytes(0x803, {1, 70000, 2}, "12"),
                             IdxLabels(1, 1),
                             {"70000 x 2 pixels"}},
                      BadIdx{"HeaderBomb",
                             IdxBytes(0x803, {0xFFFFFFFF, 4096, 4096}, "12"),
                             IdxLabels(1, 1),
                             {"is truncated: expected", "found 18"}},
                      BadIdx{"Truncated",
                             IdxImages(5, 2, 2).substr(0, 30),
                             IdxLabels(5, 2),
                             {"expected 36 bytes, found 30"}},
                      BadIdx{"TooLong",
                             IdxImages(5, 2, 2) + "x",
                             IdxLabels(5, 2),
                             {"more than the 36 bytes"}},
                      BadIdx{"CountMismatch",
                             IdxImages(5, 2, 2),
                             IdxLabels(4, 2),
                             {"5 images", "4 labels"}},
                      BadIdx{"LabelsTruncated",
                             IdxImages(5, 2, 2),
                             IdxLabels(5, 2).substr(0, 10),
                             {kLabels, "expected 13 bytes, found 10"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(IdxTest, TestLabelsMustBeAmongTheTrainingOnes) {
  TempFolder folder;
  folder.Write(kImages, IdxImages(4, 2, 2));
  folder.Write(kLabels, IdxLabels(4, 2));
  folder.Write("t10k-images-idx3-ubyte", IdxImages(3, 2, 2));
  folder.Write("t10k-labels-idx1-ubyte", IdxLabels(3, 3));
  EXPECT_THAT(ErrorOf(folder.path()),
              HasSubstr("label 2 of sample 2 is out of range"));
}

TEST(IdxTest, RefusesEveryTruncationOfAGzip) {
  TempFolder folder;
  folder.Write(kLabels, IdxLabels(9, 3));
  const std::string good = Gzip(IdxImages(9, 4, 4));
  folder.Write(std::string(kImages) + ".gz", good);
  ASSERT_TRUE(OpenIdx(folder.path()).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    folder.Write(std::string(kImages) + ".gz", good.substr(0, size));
    const absl::Status status = OpenIdx(folder.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss)
        << size << " " << status;
  }
}

TEST(IdxTest, RefusesAGzipThatIsNone) {
  TempFolder folder;
  folder.Write(kLabels, IdxLabels(3, 3));
  folder.Write(std::string(kImages) + ".gz", IdxImages(3, 2, 2));
  EXPECT_THAT(ErrorOf(folder.path()), HasSubstr("not a gzip file"));
}

TEST(IdxTest, TakesNoMemoryForWhatAGzipCannotHold) {
  TempFolder folder;
  folder.Write(kLabels, IdxLabels(3, 3));
  folder.Write(std::string(kImages) + ".gz",
               Gzip(IdxBytes(0x803, {0xFFFFFFFF, 4096, 4096}, "12")));
  EXPECT_THAT(ErrorOf(folder.path()), HasSubstr("more than it can hold"));
}

TEST(IdxTest, InflatesNoFurtherThanTheHeaderSays) {
  TempFolder folder;
  folder.Write(kLabels, IdxLabels(1, 1));
  folder.Write(std::string(kImages) + ".gz",
               Gzip(IdxBytes(0x803, {1, 2, 2}, std::string(64 << 20, 'x'))));
  EXPECT_THAT(ErrorOf(folder.path()), HasSubstr("more than the 20 bytes"));
}

TEST(IdxTest, SurvivesFlippedBits) {
  Prng prng(2);
  const std::string plain = IdxImages(9, 4, 4);
  const std::string packed = Gzip(plain);
  for (int round = 0; round < 2000; ++round) {
    const bool pack = round % 2 == 0;
    std::string bad = pack ? packed : plain;
    for (uint64_t flips = 1 + prng.Below(3); flips > 0; --flips) {
      // The header mostly: pixels may be anything.
      bad[prng.Below(pack ? bad.size() : 24)] ^=
          static_cast<char>(1 << prng.Below(8));
    }
    TempFolder one;
    one.Write(pack ? std::string(kImages) + ".gz" : kImages, bad);
    one.Write(kLabels, IdxLabels(9, 3));
    const absl::StatusOr<RawParts> parts = OpenIdx(one.path());
    if (!parts.ok()) continue;
    EXPECT_EQ(parts->train->num_samples(), 9u);
  }
}

}  // namespace
}  // namespace trainyard::data
