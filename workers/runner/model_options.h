// The network of a training job or of an ensemble's member: ModelSpec of
// proto/trainyard/v1/training.proto as plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::runner {

struct ModelOptions {
  std::string architecture;                   // a name in models/registry.h
  int64_t num_classes = 0;                    // 0: as many as the dataset has
  std::vector<int64_t> hidden_sizes = {128};  // mlp only
  std::string weights;                        // path; empty: random
};

}  // namespace trainyard::runner
