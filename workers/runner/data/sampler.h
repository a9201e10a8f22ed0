// The order in which an epoch visits the samples. It depends on (samples, seed,
// epoch) alone, so a checkpoint needs only the epoch and the batch in it.
//
//   std::vector<uint32_t> order = EpochOrder(train.num_samples(), seed, epoch);
//
// Stateless; thread-safe.
#pragma once

#include <cstdint>
#include <vector>

namespace trainyard::data {

// A permutation of [0, num_samples), the same on every platform.
std::vector<uint32_t> EpochOrder(uint32_t num_samples, uint64_t seed,
                                 uint64_t epoch);

// 0, 1, 2, ...: for validation.
std::vector<uint32_t> SequentialOrder(uint32_t num_samples);

}  // namespace trainyard::data
