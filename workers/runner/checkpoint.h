// One file with everything an attempt needs to go on where another stopped,
// bit for bit on the same device: weights and buffers (model.*), the rule's
// state (optimizer.*), random generators (rng.*) and, as metadata, the place in
// the data and what the job is. A checksum over all of it finds a damaged file.
// Tensors are stored as the CPU's, so any kind of device can go on.
//
//   RETURN_IF_ERROR(SaveCheckpoint(path, identity, progress, parts));
//   ASSIGN_OR_RETURN(Progress progress, LoadCheckpoint(path, identity,
//   &parts));
//
// Stateless; not thread-safe over the same parts.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "workers/runner/models/model.h"
#include "workers/runner/spec.h"

namespace torch::optim {
class Optimizer;
}

namespace trainyard::runner {

// How far a job is, over all its attempts.
struct Progress {
  uint64_t step = 0;   // optimiser steps done
  uint64_t epoch = 0;  // the current one, from 0
  uint64_t batch = 0;  // batches of it that are done
  double seconds = 0;  // spent so far
};

// What a checkpoint saves and restores. Borrows.
struct CheckpointParts {
  ImageModel* model = nullptr;
  torch::optim::Optimizer* optimizer = nullptr;
  torch::Device device = torch::kCPU;
};

// Everything that must be equal for a checkpoint to be of use: an object of
// field names and values ("training.batch_size": 64). How long to train and
// where the data lies are not among them.
nlohmann::json IdentityOf(const Spec& spec, int64_t num_classes,
                          const data::SampleShape& input,
                          uint64_t train_samples);

// Atomic: temporary, fsync, rename. UNAVAILABLE when the disk fails.
absl::Status SaveCheckpoint(const std::string& path,
                            const nlohmann::json& identity,
                            const Progress& progress,
                            const CheckpointParts& parts);

// INVALID_ARGUMENT: a checkpoint of another job, with the fields that differ.
// UNAVAILABLE: damaged, or not to be read. Parts are changed only when all of
// it fits.
absl::StatusOr<Progress> LoadCheckpoint(const std::string& path,
                                        const nlohmann::json& identity,
                                        CheckpointParts* parts);

// A folder that holds the newest two.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::string folder) : folder_(std::move(folder)) {}
  // Where the checkpoint of this step belongs.
  std::string PathOf(uint64_t step) const;
  // Call when `path` is complete: older ones than the newest two are removed.
  void Keep(const std::string& path);

 private:
  const std::string folder_;
  std::vector<std::string> kept_;  // oldest first
};

}  // namespace trainyard::runner
