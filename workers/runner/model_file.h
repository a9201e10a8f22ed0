// A trained model as two files: model.safetensors (weights, torchvision's
// names) and model.json (what to build and how to feed it).
//
//   RETURN_IF_ERROR(SaveModel("/out", description, *model));
//   ASSIGN_OR_RETURN(LoadedModel loaded, LoadModel("/out"));
//
// Stateless.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/models/model.h"
#include "workers/runner/models/registry.h"

namespace trainyard::runner {

inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kDescriptionFile[] = "model.json";

struct ModelDescription {
  ModelPlan plan;
  data::Normalization normalization;
  std::vector<std::string> class_names;  // may be fewer than the plan's
};

// Both files, atomically each. UNAVAILABLE when the disk fails.
absl::Status SaveModel(const std::string& folder,
                       const ModelDescription& description,
                       const ImageModel& model);

// A model.json alone. `architecture` may be empty: what feeds a model needs
// only the rest. INVALID_ARGUMENT names the path and the member.
absl::StatusOr<ModelDescription> ReadDescription(const std::string& path);

struct LoadedModel {
  ModelDescription description;
  std::shared_ptr<ImageModel> model;  // on the CPU
};
absl::StatusOr<LoadedModel> LoadModel(const std::string& folder);

// Fills `model` from a safetensors file with torchvision's names.
// INVALID_ARGUMENT lists what does not fit, and what to set if it is only the
// number of classes.
absl::Status LoadWeights(const std::string& path, const ModelPlan& plan,
                         ImageModel* model);

}  // namespace trainyard::runner
