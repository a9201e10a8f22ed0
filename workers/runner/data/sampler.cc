#include "workers/runner/data/sampler.h"

#include <numeric>

#include "absl/types/span.h"
#include "workers/runner/data/prng.h"

namespace trainyard::data {

std::vector<uint32_t> SequentialOrder(uint32_t num_samples) {
  std::vector<uint32_t> order(num_samples);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

std::vector<uint32_t> EpochOrder(uint32_t num_samples, uint64_t seed,
                                 uint64_t epoch) {
  std::vector<uint32_t> order = SequentialOrder(num_samples);
  Prng prng(MixSeed(seed, epoch));
  Shuffle(absl::MakeSpan(order), prng);
  return order;
}

}  // namespace trainyard::data
