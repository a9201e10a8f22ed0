#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "examples/glyphs/dataset.h"
#include "examples/glyphs/hands.h"
#include "examples/glyphs/idx_writer.h"
#include "examples/glyphs/options.h"
#include "examples/glyphs/render.h"

namespace trainyard::glyphs {
namespace {

using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// FNV-1a: enough to pin bytes.
uint64_t Fingerprint(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string FreshFolder(const char* name) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder.string();
}

TEST(DatasetTest, IsTheSameBytesForEveryNumberOfThreads) {
  const Dataset one = MakeDataset({.count = 101, .seed = 7}, 1);
  const Dataset three = MakeDataset({.count = 101, .seed = 7}, 3);
  const Dataset many = MakeDataset({.count = 101, .seed = 7}, 200);
  EXPECT_EQ(one.images, three.images);
  EXPECT_EQ(one.labels, three.labels);
  EXPECT_EQ(one.images, many.images);
}

TEST(DatasetTest, IsTheSameBytesOnEveryPlatform) {
  const Dataset set = MakeDataset({.count = 200, .seed = 1}, 2);
  EXPECT_EQ(Fingerprint(set.labels), 0x4444b76f5a0c70c3u);
  EXPECT_EQ(Fingerprint(set.images), 0xc77d4287e66ad401u);
}

TEST(DatasetTest, DiffersBySeedAndByPart) {
  const Dataset base = MakeDataset({.count = 50, .seed = 1, .part = 0}, 2);
  const Dataset seed = MakeDataset({.count = 50, .seed = 2, .part = 0}, 2);
  const Dataset part = MakeDataset({.count = 50, .seed = 1, .part = 1}, 2);
  EXPECT_NE(base.images, seed.images);
  EXPECT_NE(base.images, part.images);
}

TEST(DatasetTest, HasEveryDigitEquallyOftenAndMixed) {
  const Dataset set = MakeDataset({.count = 1000, .seed = 3}, 2);
  std::array<int, 10> counts{};
  for (const uint8_t label : set.labels) ++counts.at(label);
  for (const int count : counts) EXPECT_EQ(count, 100);
  EXPECT_FALSE(std::is_sorted(set.labels.begin(), set.labels.end()));
}

TEST(RenderTest, InksEveryDigitAndLeavesPaper) {
  for (int digit = 0; digit < 10; ++digit) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const Image image = RenderGlyph(digit, Random(seed));
      const auto ink = std::count_if(image.begin(), image.end(),
                                     [](int v) { return v > 128; });
      EXPECT_GT(ink, 15) << "digit " << digit << " seed " << seed;
      EXPECT_LT(ink, kPixels / 2) << "digit " << digit << " seed " << seed;
    }
  }
}

TEST(HandsTest, HasSeveralPerDigitWithRealStrokes) {
  for (int digit = 0; digit < 10; ++digit) {
    EXPECT_THAT(HandsOf(digit), SizeIs(Ge(3u))) << digit;
    for (const Hand& hand : HandsOf(digit)) {
      for (const Stroke& stroke : hand.strokes)
        EXPECT_THAT(stroke, SizeIs(Ge(2u)));
    }
  }
}

TEST(IdxWriterTest, WritesMnistsHeaderThenTheValues) {
  const std::string path = FreshFolder("idx_plain") + "/x-idx3-ubyte";
  ASSERT_TRUE(WriteIdx(path, {2, 1, 3}, {1, 2, 3, 4, 5, 6}, false).ok());
  const std::string bytes = ReadFile(path);
  EXPECT_THAT(std::vector<int>(bytes.begin(), bytes.end()),
              ElementsAre(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2,
                          3, 4, 5, 6));
}

TEST(IdxWriterTest, WritesGzipAndRemovesThePlainForm) {
  const std::string path = FreshFolder("idx_gzip") + "/x-idx1-ubyte";
  ASSERT_TRUE(WriteIdx(path, {3}, {7, 8, 9}, false).ok());
  ASSERT_TRUE(WriteIdx(path, {3}, {7, 8, 9}, true).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  gzFile file = gzopen((path + ".gz").c_str(), "rb");
  ASSERT_NE(file, nullptr);
  std::array<char, 64> buffer{};
  EXPECT_EQ(gzread(file, buffer.data(), buffer.size()), 11);
  gzclose(file);
  EXPECT_EQ(buffer[7], 3);
  EXPECT_EQ(buffer[10], 9);
}

TEST(IdxWriterTest, NamesTheFileItCannotWrite) {
  const absl::Status status =
      WriteIdx("/nonexistent/folder/x", {1}, {1}, false);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("/nonexistent/folder/x"));
}

TEST(OptionsTest, TakesBothFormsOfAFlag) {
  const auto options = ParseOptions(
      {"--out", "d", "--train=5", "--test", "6", "--seed=9", "--gzip"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->out, "d");
  EXPECT_EQ(options->train, 5u);
  EXPECT_EQ(options->test, 6u);
  EXPECT_EQ(options->seed, 9u);
  EXPECT_TRUE(options->gzip);
}

TEST(OptionsTest, NamesFlagValueAndRange) {
  const struct {
    std::vector<std::string> arguments;
    const char* message;
  } kRows[] = {
      {{}, "--out is missing"},
      {{"--out", "d", "--train", "0"},
       "--train is \"0\": must be a whole number from 1 to 1000000"},
      {{"--out", "d", "--test=-1"}, "--test is \"-1\""},
      {{"--out", "d", "--seed", "x"}, "--seed is \"x\""},
      {{"--out"}, "--out needs a value"},
      {{"--trian", "5"}, "unknown flag --trian"},
  };
  for (const auto& row : kRows) {
    const auto options = ParseOptions(row.arguments);
    ASSERT_FALSE(options.ok()) << row.message;
    EXPECT_THAT(std::string(options.status().message()),
                HasSubstr(row.message));
  }
}

}  // namespace
}  // namespace trainyard::glyphs
