// The generator's own source of chance: the same numbers on every platform,
// which <random>'s distributions do not promise.
//
//   Random random(Random::Mix(seed, index));
//   double angle = random.Uniform(-0.2, 0.2);
//
// Not thread-safe; make one per sample.
#pragma once

#include <cstdint>

namespace trainyard::glyphs {

// SplitMix64 (Steele, Lea, Flood, 2014).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // One seed out of two, for independent sequences.
  static uint64_t Mix(uint64_t a, uint64_t b) {
    return Random(a ^ (Random(b).Next() + 0x9e3779b97f4a7c15u)).Next();
  }

  uint64_t Next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  // In [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  double Uniform(double low, double high) {
    return low + (high - low) * Uniform();
  }

  // Mean 0, deviation 1, within ±3: the sum of twelve would be the classic,
  // four scaled are close enough and need no transcendental function, whose
  // last bit differs between C libraries.
  double Normal() {
    const double sum = Uniform() + Uniform() + Uniform() + Uniform() - 2;
    return sum * 1.7320508075688772;
  }

  // In [0, n), n above 0 and small against 2^64.
  uint64_t Below(uint64_t n) { return Next() % n; }

 private:
  uint64_t state_;
};

}  // namespace trainyard::glyphs
