#include "workers/runner/data/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "workers/runner/data/prng.h"
#include "workers/runner/data/test_files.h"

namespace trainyard::data {
namespace {

std::vector<uint8_t> Resize(const TestImage& image, int side) {
  std::vector<uint8_t> out(static_cast<size_t>(3 * side * side), 77);
  ResizeCentreCrop({image.pixels.data(), image.width, image.height}, side,
                   out.data());
  return out;
}

// The definition, in double and without shortcuts: triangle filter over the
// whole image, then crop.
double Expected(const TestImage& image, int side, int x, int y, int c) {
  const int shorter = std::min(image.width, image.height);
  const auto weights = [&](int source, int at) {
    const int scaled = side * source / shorter;
    const double scale = double(source) / scaled;
    const double support = std::max(1.0, scale);
    const double centre =
        (at + std::nearbyint((scaled - side) / 2.0) + 0.5) * scale;
    std::vector<double> result(static_cast<size_t>(source));
    double sum = 0;
    for (int i = 0; i < source; ++i) {
      result[static_cast<size_t>(i)] =
          std::max(0.0, 1 - std::abs((i + 0.5 - centre) / support));
      sum += result[static_cast<size_t>(i)];
    }
    for (double& weight : result) weight /= sum;
    return result;
  };
  const std::vector<double> columns = weights(image.width, x);
  const std::vector<double> rows = weights(image.height, y);
  double value = 0;
  for (int v = 0; v < image.height; ++v) {
    for (int u = 0; u < image.width; ++u) {
      value += columns[static_cast<size_t>(u)] * rows[static_cast<size_t>(v)] *
               image.pixels[static_cast<size_t>((v * image.width + u) * 3 + c)];
    }
  }
  return value;
}

TEST(ResizeTest, AgreesWithTheDefinition) {
  Prng prng(3);
  const struct {
    int width, height, side;
  } rows[] = {{8, 8, 8},  {16, 16, 8},   {31, 17, 8}, {17, 31, 9},
              {9, 40, 8}, {5, 3, 8},     {1, 1, 8},   {1, 7, 8},
              {64, 8, 8}, {100, 99, 13}, {2, 2, 9},   {23, 10, 10}};
  for (const auto& row : rows) {
    const TestImage image =
        MakeImage(row.width, row.height, 3,
                  [&](int, int, int) { return int(prng.Below(256)); });
    const std::vector<uint8_t> out = Resize(image, row.side);
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < row.side; ++y) {
        for (int x = 0; x < row.side; ++x) {
          EXPECT_NEAR(
              out[static_cast<size_t>((c * row.side + y) * row.side + x)],
              Expected(image, row.side, x, y, c), 0.75)
              << row.width << "x" << row.height << " " << x << "," << y << ","
              << c;
        }
      }
    }
  }
}

TEST(ResizeTest, CopiesAnImageOfTheWantedSize) {
  const TestImage image = MakeImage(
      8, 8, 3, [](int x, int y, int c) { return x + 8 * y + 64 * c; });
  const std::vector<uint8_t> out = Resize(image, 8);
  for (int i = 0; i < 192; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], i);
}

TEST(ResizeTest, KeepsAFlatColourExactly) {
  for (int side : {8, 50, 224}) {
    const TestImage image =
        MakeImage(123, 77, 3, [](int, int, int c) { return 255 - c; });
    const std::vector<uint8_t> out = Resize(image, side);
    const auto plane = static_cast<size_t>(side * side);
    for (size_t i = 0; i < 3 * plane; ++i)
      ASSERT_EQ(out[i], 255 - int(i / plane));
  }
}

TEST(ResizeTest, TakesExtremeShapes) {
  const TestImage wide = MakeImage(
      100000, 1, 3, [](int x, int, int) { return x < 50000 ? 0 : 255; });
  const std::vector<uint8_t> out = Resize(wide, 64);
  // One pixel on either side of the edge fills half of the square.
  EXPECT_LT(out.front(), 5);
  EXPECT_GT(out.back(), 250);
}

}  // namespace
}  // namespace trainyard::data
