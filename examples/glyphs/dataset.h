// A set of glyphs, made by several threads.
//
//   Dataset train = MakeDataset({.count = 60000, .seed = 1, .part = 0},
//   threads);
//
// The bytes depend on the request alone, never on the number of threads. Each
// digit occurs equally often (within one), in random order.
#pragma once

#include <cstdint>
#include <vector>

namespace trainyard::glyphs {

struct DatasetRequest {
  uint32_t count = 0;
  uint64_t seed = 1;
  // Parts of one seed share no sample: 0 is training, 1 is test.
  uint32_t part = 0;
};

struct Dataset {
  std::vector<uint8_t> images;  // count × 28 × 28
  std::vector<uint8_t> labels;  // count
};

// threads: at least 1.
Dataset MakeDataset(const DatasetRequest& request, unsigned threads);

}  // namespace trainyard::glyphs
