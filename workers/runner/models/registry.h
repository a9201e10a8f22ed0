// The built-in architectures: one row each. A new model is one file in this
// folder, its declarations in architectures.h and a row in registry.cc.
//
//   ModelPlan plan{"mnist_cnn", {}, 10, {1, 28, 28}};
//   ASSIGN_OR_RETURN(std::shared_ptr<ImageModel> model, BuildModel(plan));
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/runner/data/dataset.h"

namespace trainyard::runner {

class ImageModel;

// Everything that decides a model's parameters and their shapes.
struct ModelPlan {
  std::string architecture;
  std::vector<int64_t> hidden_sizes;  // mlp only
  int64_t num_classes = 0;
  data::SampleShape input;
};

// A new model on the CPU with initial weights from torch's generator.
// INVALID_ARGUMENT: no such architecture (with the nearest name), or one that
// does not fit the input.
absl::StatusOr<std::shared_ptr<ImageModel>> BuildModel(const ModelPlan& plan);

// What BuildModel checks.
absl::Status CheckPlan(const ModelPlan& plan);

// Prefix of the parameters that depend on the number of classes: "fc.".
std::string HeadPrefix(const ModelPlan& plan);

std::vector<std::string> ArchitectureNames();

}  // namespace trainyard::runner
