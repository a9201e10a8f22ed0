// A training job made ready: its data opened, its model built, filled and on
// its device, its optimiser at the place where an earlier attempt stopped.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<TrainingJob> job, PrepareJob(spec));
//
// Not thread-safe.
#pragma once

#include <torch/optim/optimizer.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "workers/runner/checkpoint.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/images.h"
#include "workers/runner/model_file.h"
#include "workers/runner/models/model.h"
#include "workers/runner/spec.h"

namespace trainyard::runner {

struct TrainingJob {
  Spec spec;
  torch::Device device = torch::kCPU;
  int threads = 1;
  data::DatasetParts data;
  ModelDescription description;
  std::shared_ptr<ImageModel> model;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::unique_ptr<ImageFeed> feed;
  nlohmann::json identity;
  Progress progress;  // where to begin
  uint64_t steps_per_epoch = 0;
  uint64_t total_steps = 0;
  uint64_t parameters = 0;
  uint64_t state_bytes = 0;  // of parameters and buffers

  // What checkpoints save and restore.
  CheckpointParts parts() {
    return {
        .model = model.get(), .optimizer = optimizer.get(), .device = device};
  }
};

// Errors name the field, the file or the tensor. Throws what LibTorch throws.
absl::StatusOr<std::unique_ptr<TrainingJob>> PrepareJob(const Spec& spec);

}  // namespace trainyard::runner
