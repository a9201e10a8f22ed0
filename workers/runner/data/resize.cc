#include "workers/runner/data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace trainyard::data {
namespace {

// Weights are whole numbers that add up to kOne, sums keep kFraction bits
// between the two passes: no rounding depends on the platform, and nothing
// leaves 16 and 32 bits.
constexpr int kWeightBits = 14;
constexpr int kOne = 1 << kWeightBits;
constexpr int kFraction = 7;

// Which source pixels make each wanted pixel along one axis, and how much of
// each.
struct Axis {
  int taps = 0;                  // weights per wanted pixel
  std::vector<int> first;        // per wanted pixel: the first source pixel
  std::vector<int16_t> weights;  // wanted x taps
  int source_begin = 0;  // source pixels needed: [source_begin, source_end)
  int source_end = 0;
};

// Turns positive weights into whole numbers that add up to kOne.
void Quantize(const std::vector<double>& exact, int count, int16_t* weights) {
  double total = 0;
  for (int i = 0; i < count; ++i) total += exact[static_cast<size_t>(i)];
  int left = kOne;
  int largest = 0;
  for (int i = 0; i < count; ++i) {
    const double share = exact[static_cast<size_t>(i)] / total;
    weights[i] = static_cast<int16_t>(std::lround(share * kOne));
    left -= weights[i];
    if (weights[i] > weights[largest]) largest = i;
  }
  weights[largest] = static_cast<int16_t>(weights[largest] + left);
}

// `source` pixels scaled to `scaled`, of which [begin, begin + count) are
// wanted.
Axis MakeAxis(int source, int64_t scaled, int64_t begin, int count) {
  const double scale =
      static_cast<double>(source) / static_cast<double>(scaled);
  const double support = std::max(scale, 1.0);
  Axis axis;
  axis.taps = std::min(source, static_cast<int>(std::ceil(support)) * 2 + 1);
  axis.first.resize(static_cast<size_t>(count));
  axis.weights.resize(static_cast<size_t>(count) *
                      static_cast<size_t>(axis.taps));
  std::vector<double> exact(static_cast<size_t>(axis.taps));
  for (int i = 0; i < count; ++i) {
    const double centre = (static_cast<double>(begin + i) + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(centre - support + 0.5));
    const int high = std::min(source, static_cast<int>(centre + support + 0.5));
    // All windows have `taps` pixels, so that the inner loops have one length.
    const int first = std::min(low, source - axis.taps);
    for (int t = 0; t < axis.taps; ++t) {
      const double distance = std::abs((first + t + 0.5 - centre) / support);
      const bool inside = first + t >= low && first + t < high;
      exact[static_cast<size_t>(t)] =
          inside ? std::max(0.0, 1.0 - distance) : 0.0;
    }
    axis.first[static_cast<size_t>(i)] = first;
    Quantize(exact, axis.taps,
             &axis.weights[static_cast<size_t>(i * axis.taps)]);
  }
  axis.source_begin = axis.first.front();
  axis.source_end = axis.first.back() + axis.taps;
  return axis;
}

// One wanted row, still as wide as the source: sums[i] of kFraction bits.
void SumRows(const RgbImage& image, const Axis& rows, int row, int begin,
             int size, std::vector<int32_t>* wide, std::vector<int16_t>* sums) {
  const size_t stride = static_cast<size_t>(image.width) * 3;
  std::fill(wide->begin(), wide->end(), 1 << (kWeightBits - kFraction - 1));
  int32_t* to = wide->data();
  for (int t = 0; t < rows.taps; ++t) {
    const int16_t weight =
        rows.weights[static_cast<size_t>(row * rows.taps + t)];
    if (weight == 0) continue;
    const size_t source_row =
        static_cast<size_t>(rows.first[static_cast<size_t>(row)] + t);
    const uint8_t* from =
        image.pixels + source_row * stride + static_cast<size_t>(begin) * 3;
    for (int i = 0; i < size; ++i)
      to[i] += weight * static_cast<int16_t>(from[i]);
  }
  int16_t* narrow = sums->data();
  for (int i = 0; i < size; ++i) {
    narrow[i] = static_cast<int16_t>(to[i] >> (kWeightBits - kFraction));
  }
}

// The wanted pixels of one row, into three planes.
void SumColumns(const Axis& columns, const int16_t* sums, int side,
                uint8_t* out, size_t plane) {
  constexpr int kShift = kWeightBits + kFraction;
  for (int x = 0; x < side; ++x) {
    const int first =
        columns.first[static_cast<size_t>(x)] - columns.source_begin;
    const int16_t* from = sums + static_cast<std::ptrdiff_t>(first) * 3;
    const int16_t* weights =
        &columns.weights[static_cast<size_t>(x * columns.taps)];
    int32_t red = 1 << (kShift - 1);
    int32_t green = red;
    int32_t blue = red;
    for (int t = 0; t < columns.taps; ++t) {
      red += weights[t] * from[3 * t];
      green += weights[t] * from[3 * t + 1];
      blue += weights[t] * from[3 * t + 2];
    }
    out[x] = static_cast<uint8_t>(red >> kShift);
    out[plane + static_cast<size_t>(x)] = static_cast<uint8_t>(green >> kShift);
    out[2 * plane + static_cast<size_t>(x)] =
        static_cast<uint8_t>(blue >> kShift);
  }
}

// Half of what is cut off, .5 to the even number as torchvision's CenterCrop
// does.
int64_t CropBegin(int64_t scaled, int side) {
  const int64_t cut = scaled - side;
  return (cut + cut / 2 % 2) / 2;
}

}  // namespace

void ResizeCentreCrop(const RgbImage& image, int side, uint8_t* out) {
  const int shorter = std::min(image.width, image.height);
  const int64_t width = int64_t{side} * image.width / shorter;
  const int64_t height = int64_t{side} * image.height / shorter;
  const Axis columns =
      MakeAxis(image.width, width, CropBegin(width, side), side);
  const Axis rows =
      MakeAxis(image.height, height, CropBegin(height, side), side);

  const int size = (columns.source_end - columns.source_begin) * 3;
  std::vector<int32_t> wide(static_cast<size_t>(size));
  std::vector<int16_t> sums(static_cast<size_t>(size));
  const size_t plane = static_cast<size_t>(side) * static_cast<size_t>(side);
  for (int y = 0; y < side; ++y) {
    SumRows(image, rows, y, columns.source_begin, size, &wide, &sums);
    SumColumns(columns, sums.data(), side,
               out + static_cast<size_t>(y) * static_cast<size_t>(side), plane);
  }
}

}  // namespace trainyard::data
