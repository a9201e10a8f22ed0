// An ensemble-inference job as plain options, every default filled in. The
// meaning and range of each is the comment in
// proto/trainyard/v1/ensemble.proto.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/member.h"

namespace trainyard::runner {

enum class FusionRule { kMean, kVote, kWeighted, kUncertainty };

enum class OutputFormat { kJsonl, kCsv, kNpy };

struct EnsembleOptions {
  std::vector<MemberOptions> members;  // names set and different
  data::DataOptions data;              // max_samples: of the predicted part
  FusionRule fusion = FusionRule::kMean;
  uint32_t mc_samples = 1;  // 1: dropout off
  uint32_t batch_size = 64;
  uint64_t seed = 0;
  int threads = 0;  // 0: those of the device
  std::vector<OutputFormat> outputs = {OutputFormat::kJsonl};
};

// The short lower-case names of the job file.
std::string Name(FusionRule rule);
std::string Name(OutputFormat format);

}  // namespace trainyard::runner
