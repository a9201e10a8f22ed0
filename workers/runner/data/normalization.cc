#include "workers/runner/data/normalization.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "base/status_macros.h"

namespace trainyard::data {
namespace {

constexpr uint32_t kSamplesPerRead = 64;

struct Sums {
  uint64_t sum = 0;
  uint64_t squares = 0;
};

// Whole numbers: exact, whatever the order. A plane has fewer than 2^32 pixels,
// and 2^64 / 255^2 leaves room for 2^48 of them.
void Add(const uint8_t* plane, int64_t size, Sums* sums) {
  // Blocks whose sums fit 32 bits let the compiler use wide instructions.
  constexpr int64_t kBlock = 32768;
  for (int64_t first = 0; first < size; first += kBlock) {
    const int64_t end = std::min(size, first + kBlock);
    uint32_t sum = 0;
    uint32_t squares = 0;
    for (int64_t i = first; i < end; ++i) {
      const uint32_t value = plane[i];
      sum += value;
      squares += value * value;
    }
    sums->sum += sum;
    sums->squares += squares;
  }
}

Normalization FromSums(const std::vector<Sums>& channels, uint64_t count) {
  // n^2 variance = n squares - sum^2, without rounding: the same on every
  // platform.
  using Wide = unsigned __int128;
  Normalization normalization;
  const double n = static_cast<double>(count);
  for (const Sums& sums : channels) {
    const Wide spread = Wide{count} * sums.squares - Wide{sums.sum} * sums.sum;
    const double stddev = std::sqrt(static_cast<double>(spread)) / n / 255;
    normalization.mean.push_back(
        static_cast<float>(static_cast<double>(sums.sum) / n / 255));
    normalization.stddev.push_back(spread == 0 ? 1
                                               : static_cast<float>(stddev));
  }
  return normalization;
}

}  // namespace

absl::StatusOr<Normalization> NormalizationOf(const Dataset& dataset) {
  const SampleShape shape = dataset.sample_shape();
  if (!dataset.in_memory()) {
    if (shape.channels == 3)
      return Normalization{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
    const size_t channels = static_cast<size_t>(shape.channels);
    return Normalization{std::vector<float>(channels, 0.5f),
                         std::vector<float>(channels, 0.5f)};
  }
  const int64_t plane = int64_t{1} * shape.height * shape.width;
  std::vector<Sums> channels(static_cast<size_t>(shape.channels));
  std::vector<uint8_t> pixels(static_cast<size_t>(shape.size()) *
                              kSamplesPerRead);
  std::vector<int64_t> labels(kSamplesPerRead);
  std::vector<uint32_t> indices;
  for (uint32_t first = 0; first < dataset.num_samples();
       first += indices.size()) {
    indices.resize(std::min(kSamplesPerRead, dataset.num_samples() - first));
    for (size_t i = 0; i < indices.size(); ++i)
      indices[i] = first + static_cast<uint32_t>(i);
    RETURN_IF_ERROR(dataset.Read(indices, pixels.data(), labels.data()));
    const uint8_t* next = pixels.data();
    for (size_t i = 0; i < indices.size(); ++i) {
      for (Sums& sums : channels) {
        Add(next, plane, &sums);
        next += plane;
      }
    }
  }
  return FromSums(channels,
                  static_cast<uint64_t>(plane) * dataset.num_samples());
}

}  // namespace trainyard::data
