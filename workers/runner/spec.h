// What one attempt is asked to do: the spec file of docs/runner_protocol.md as
// plain options, every default filled in and every value in its range. The
// meaning and range of each member is the comment in
// proto/trainyard/v1/training.proto.
//
//   ASSIGN_OR_RETURN(Spec spec, ReadSpec("/path/spec.json"));
//   spec.training.optimizer.learning_rate  // 0.01 where the file has none
//
// A member of `training` or `ensemble` that this runner does not know is
// refused: an option that is passed over would train something else. Elsewhere
// unknown members are ignored, so that the protocol can grow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/options.h"
#include "workers/runner/model_options.h"

namespace trainyard::runner {

enum class OptimizerKind { kSgd, kAdam, kAdamW };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kSgd;
  double learning_rate = 0.01;
  double momentum = 0;
  double weight_decay = 0;
};

struct CheckpointOptions {
  uint64_t every_steps = 0;   // 0: not by steps
  double every_seconds = 60;  // 0: not by time
};

struct TrainingOptions {
  ModelOptions model;
  data::DataOptions data;  // its seed is the training's
  bool augment = false;    // data.augment
  OptimizerOptions optimizer;
  CheckpointOptions checkpoint;
  uint64_t epochs = 1;
  uint64_t batch_size = 64;
  uint64_t seed = 0;
  uint64_t max_steps = 0;  // 0: no limit
  int threads = 0;         // 0: those of the device
};

enum class DeviceKind { kCpu, kCuda, kMps };

struct DeviceOptions {
  DeviceKind kind = DeviceKind::kCpu;
  int index = 0;
  int threads = 0;  // 0: every core of the machine
};

struct Spec {
  uint64_t job = 0;
  uint64_t attempt = 0;
  TrainingOptions training;  // where there is no ensemble
  std::optional<EnsembleOptions> ensemble;
  DeviceOptions device;
  std::vector<DeviceOptions> devices;  // all of them, `device` first
  std::string work_dir;
  std::string resume;  // path of a checkpoint; empty: a fresh start
};

// INVALID_ARGUMENT names the member (as "training.batch_size"), its value and
// what would be right. `json` may be anything.
absl::StatusOr<Spec> ParseSpec(absl::string_view json);

// ParseSpec of a file's content; at most 4 MiB.
absl::StatusOr<Spec> ReadSpec(const std::string& path);

// The short lower-case names of the job file.
std::string Name(data::DataFormat format);
std::string Name(OptimizerKind kind);
std::string Name(DeviceKind kind);

}  // namespace trainyard::runner
