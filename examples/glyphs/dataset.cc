#include "examples/glyphs/dataset.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "examples/glyphs/random.h"
#include "examples/glyphs/render.h"

namespace trainyard::glyphs {
namespace {

// Every digit equally often, shuffled (Fisher and Yates).
std::vector<uint8_t> BalancedLabels(uint32_t count, uint64_t seed) {
  std::vector<uint8_t> labels(count);
  for (uint32_t i = 0; i < count; ++i) labels[i] = static_cast<uint8_t>(i % 10);
  Random random(seed);
  for (uint32_t i = count; i > 1; --i) {
    std::swap(labels[i - 1], labels[random.Below(i)]);
  }
  return labels;
}

}  // namespace

Dataset MakeDataset(const DatasetRequest& request, unsigned threads) {
  const uint64_t part_seed = Random::Mix(request.seed, request.part);
  Dataset dataset;
  dataset.labels = BalancedLabels(request.count, part_seed);
  dataset.images.resize(static_cast<size_t>(request.count) * kPixels);

  const auto render = [&](uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; ++i) {
      const Image image =
          RenderGlyph(dataset.labels[i], Random(Random::Mix(part_seed, i)));
      std::memcpy(&dataset.images[static_cast<size_t>(i) * kPixels],
                  image.data(), kPixels);
    }
  };
  const uint32_t share = request.count / threads + 1;
  std::vector<std::thread> pool;
  for (uint32_t first = 0; first < request.count; first += share) {
    pool.emplace_back(render, first, std::min(first + share, request.count));
  }
  for (std::thread& thread : pool) thread.join();
  return dataset;
}

}  // namespace trainyard::glyphs
