#include "workers/runner/data/image_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "absl/status/statusor.h"
#include "workers/runner/data/prng.h"
#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

using ::testing::HasSubstr;

absl::Span<const uint8_t> BytesOf(const std::string& text) {
  return absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(text.data()),
                             text.size());
}

// Left half one colour, right half another.
TestImage TwoColours(int width, int height, int channels) {
  return MakeImage(width, height, channels, [width](int x, int, int c) {
    return x < width / 2 ? 40 + 60 * c : 220 - 60 * c;
  });
}

// The three channels at a quarter and three quarters of the middle row.
struct Sample {
  int left[3];
  int right[3];
};

absl::StatusOr<Sample> DecodeMiddle(const std::string& file, int side) {
  ImageDecoder decoder;
  std::vector<uint8_t> pixels(static_cast<size_t>(3 * side * side));
  if (absl::Status status = decoder.Decode(BytesOf(file), side, pixels.data());
      !status.ok()) {
    return status;
  }
  Sample sample = {};
  for (int c = 0; c < 3; ++c) {
    const uint8_t* row = pixels.data() + (c * side + side / 2) * side;
    sample.left[c] = row[side / 4];
    sample.right[c] = row[side * 3 / 4];
  }
  return sample;
}

struct GoodImage {
  const char* name;
  std::string file;
  int left[3];
  int right[3];
};

class ReadableImage : public ::testing::TestWithParam<GoodImage> {};

TEST_P(ReadableImage, BecomesRgb) {
  for (int side : {8, 20, 33, 100}) {
    const absl::StatusOr<Sample> sample = DecodeMiddle(GetParam().file, side);
    ASSERT_TRUE(sample.ok()) << sample.status();
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(sample->left[c], GetParam().left[c], 3)
          << side << " channel " << c;
      EXPECT_NEAR(sample->right[c], GetParam().right[c], 3)
          << side << " channel " << c;
    }
  }
}

TestImage Cmyk() {
  // Adobe's inverted inks: the left is (200, 100, 50) at full white, the right
  // half as bright.
  return MakeImage(40, 40, 4, [](int x, int, int c) {
    constexpr int kInk[] = {200, 100, 50};
    return c < 3 ? kInk[c] : x < 20 ? 255 : 128;
  });
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ReadableImage,
    ::testing::Values(
        GoodImage{"Jpeg",
                  EncodeJpeg(TwoColours(64, 48, 3)),
                  {40, 100, 160},
                  {220, 160, 100}},
        GoodImage{"LargeJpeg",
                  EncodeJpeg(TwoColours(1600, 1200, 3)),
                  {40, 100, 160},
                  {220, 160, 100}},
        GoodImage{"ProgressiveJpeg",
                  EncodeJpeg(TwoColours(64, 48, 3), 95, true),
                  {40, 100, 160},
                  {220, 160, 100}},
        GoodImage{"GreyJpeg",
                  EncodeJpeg(TwoColours(64, 48, 1)),
                  {40, 40, 40},
                  {220, 220, 220}},
        GoodImage{
            "CmykJpeg", EncodeJpeg(Cmyk(), 100), {200, 100, 50}, {100, 50, 25}},
        GoodImage{"Png",
                  EncodePng(TwoColours(64, 48, 3)),
                  {40, 100, 160},
                  {220, 160, 100}},
        GoodImage{"GreyPng",
                  EncodePng(TwoColours(64, 48, 1)),
                  {40, 40, 40},
                  {220, 220, 220}},
        GoodImage{"GreyAlphaPng",
                  EncodePng(TwoColours(64, 48, 2)),
                  {40, 40, 40},
                  {220, 220, 220}},
        GoodImage{"AlphaPng",
                  EncodePng(TwoColours(64, 48, 4)),
                  {40, 100, 160},
                  {220, 160, 100}},
        GoodImage{"Deep16Png",
                  EncodePng(TwoColours(64, 48, 3), true),
                  {40, 100, 160},
                  {220, 160, 100}},
        GoodImage{"Deep16GreyPng",
                  EncodePng(TwoColours(64, 48, 1), true),
                  {40, 40, 40},
                  {220, 220, 220}},
        GoodImage{
            "PalettePng",
            EncodePalettePng(MakeImage(64, 48, 1,
                                       [](int x, int, int) { return x / 32; }),
                             {10, 20, 30, 200, 150, 100}),
            {10, 20, 30},
            {200, 150, 100}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(ImageDecoderTest, KeepsItsBuffersButNotTheirContent) {
  ImageDecoder decoder;
  std::vector<uint8_t> first(192), second(192), again(192);
  const std::string large = EncodePng(TwoColours(300, 300, 3));
  const std::string small = EncodeJpeg(TwoColours(10, 9, 1));
  ASSERT_TRUE(decoder.Decode(BytesOf(large), 8, first.data()).ok());
  ASSERT_TRUE(decoder.Decode(BytesOf(small), 8, second.data()).ok());
  ASSERT_TRUE(decoder.Decode(BytesOf(large), 8, again.data()).ok());
  EXPECT_EQ(first, again);
  EXPECT_NE(first, second);
}

TEST(ImageDecoderTest, GoesOnAfterABadImage) {
  ImageDecoder decoder;
  std::vector<uint8_t> pixels(192);
  const std::string good = EncodeJpeg(TwoColours(64, 48, 3));
  for (size_t size : {20, 300, 600, 650}) {
    const std::string bad = good.substr(0, size);
    EXPECT_FALSE(decoder.Decode(BytesOf(bad), 8, pixels.data()).ok());
    const absl::Status status = decoder.Decode(BytesOf(good), 8, pixels.data());
    EXPECT_TRUE(status.ok()) << size << " " << status;
  }
}

TEST(ImageDecoderTest, RefusesOtherFormats) {
  for (const std::string file : {"", "GIF89a", "\xFF\xD8", "hello"}) {
    const absl::Status status = DecodeMiddle(file, 8).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("neither a JPEG nor a PNG"));
  }
}

TEST(ImageDecoderTest, RefusesEveryTruncation) {
  const std::string files[] = {EncodeJpeg(TwoColours(20, 16, 3)),
                               EncodeJpeg(TwoColours(20, 16, 3), 90, true),
                               EncodePng(TwoColours(20, 16, 3))};
  for (const std::string& good : files) {
    ASSERT_TRUE(DecodeMiddle(good, 8).ok());
    // All but the checksum of a PNG's end mark, which nothing depends on.
    const size_t needed = good.size() - (good[0] == '\x89' ? 4 : 0);
    for (size_t size = 0; size < needed; ++size) {
      EXPECT_FALSE(DecodeMiddle(good.substr(0, size), 8).ok())
          << size << " of " << good.size();
    }
  }
}

// Puts another extent into the header of a file made by the encoders.
std::string WithSize(std::string file, size_t offset, int bytes,
                     uint32_t value) {
  for (int i = 0; i < bytes; ++i) {
    file[offset + static_cast<size_t>(i)] =
        static_cast<char>(value >> (8 * (bytes - 1 - i)) & 0xFF);
  }
  return file;
}

TEST(ImageDecoderTest, RefusesSizeBombs) {
  std::string jpeg = EncodeJpeg(TwoColours(20, 16, 3));
  const size_t frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  jpeg = WithSize(WithSize(jpeg, frame + 5, 2, 65000), frame + 7, 2, 65000);
  EXPECT_THAT(std::string(DecodeMiddle(jpeg, 8).status().message()),
              HasSubstr("JPEG of 65000 x 65000 pixels; at most 100000000"));

  std::string png = EncodePng(TwoColours(20, 16, 3));
  png = WithSize(WithSize(png, 16, 4, 65000), 20, 4, 65000);
  // The header's checksum covers its name and 13 bytes.
  const uLong checksum =
      crc32(0, reinterpret_cast<const Bytef*>(png.data() + 12), 17);
  png = WithSize(png, 29, 4, static_cast<uint32_t>(checksum));
  EXPECT_THAT(std::string(DecodeMiddle(png, 8).status().message()),
              HasSubstr("PNG of 65000 x 65000 pixels; at most 100000000"));
}

TEST(ImageDecoderTest, SurvivesFlippedBits) {
  const std::string files[] = {
      EncodeJpeg(TwoColours(20, 16, 3)),
      EncodeJpeg(TwoColours(20, 16, 3), 90, true),
      EncodeJpeg(Cmyk()),
      EncodePng(TwoColours(20, 16, 3)),
      EncodePng(TwoColours(20, 16, 4), true),
      EncodePalettePng(TwoColours(20, 16, 1), std::vector<uint8_t>(768, 9))};
  Prng prng(4);
  ImageDecoder decoder;
  std::vector<uint8_t> pixels(192);
  int refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string bad = files[round % 6];
    for (uint64_t flips = 1 + prng.Below(6); flips > 0; --flips) {
      bad[prng.Below(bad.size())] ^= static_cast<char>(1 << prng.Below(8));
    }
    refused += !decoder.Decode(BytesOf(bad), 8, pixels.data()).ok();
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace trainyard::data
