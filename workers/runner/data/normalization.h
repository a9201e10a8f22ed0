// Per-channel mean and standard deviation, as values; tensors are made
// elsewhere.
//
//   ASSIGN_OR_RETURN(Normalization n, NormalizationOf(*train));
//
// Stateless; thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "workers/runner/data/dataset.h"

namespace trainyard::data {

// Exact over all pixels of a dataset in memory (population deviation; 1 for a
// constant channel), ImageNet's for others with 3 channels, else 0.5 and 0.5.
absl::StatusOr<Normalization> NormalizationOf(const Dataset& dataset);

}  // namespace trainyard::data
