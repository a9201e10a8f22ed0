// The generator behind every choice of samples: splitmix64 (Steele, Lea, Flood:
// "Fast splittable pseudorandom number generators", 2014). Results are the same
// on every platform, as those of the standard library's distributions are not.
//
//   Prng prng(MixSeed(seed, epoch));
//   Shuffle(absl::MakeSpan(order), prng);
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/types/span.h"

namespace trainyard::data {

// Not thread-safe.
class Prng {
 public:
  explicit Prng(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // Uniform in [0, bound), without bias. bound > 0.
  uint64_t Below(uint64_t bound) {
    const uint64_t rejected_below = (0 - bound) % bound;
    uint64_t value = Next();
    while (value < rejected_below) value = Next();
    return value % bound;
  }

 private:
  uint64_t state_;
};

// A seed for one purpose out of many: equal only for equal pairs, in practice.
inline uint64_t MixSeed(uint64_t seed, uint64_t purpose) {
  return Prng(Prng(seed).Next() ^ (purpose * 0xD1342543DE82EF95u + 1)).Next();
}

// Fisher-Yates.
template <typename T>
void Shuffle(absl::Span<T> values, Prng& prng) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[prng.Below(i)]);
  }
}

}  // namespace trainyard::data
