#include "workers/runner/models/registry.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/models/architectures.h"
#include "workers/runner/nearest.h"

namespace trainyard::runner {
namespace {

struct Architecture {
  const char* name;
  absl::Status (*check)(const ModelPlan&);
  std::shared_ptr<ImageModel> (*make)(const ModelPlan&);
  std::string (*head)(const ModelPlan&);
};

constexpr Architecture kArchitectures[] = {
    {"mlp", CheckMlp, MakeMlp, MlpHead},
    {"mnist_cnn", CheckMnistCnn, MakeMnistCnn, MnistCnnHead},
    {"resnet18", CheckResNet18, MakeResNet18, ResNet18Head},
};

absl::StatusOr<const Architecture*> Find(const std::string& name) {
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.name) return &architecture;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("training.model.architecture is \"", name,
                   "\", which this runner does not know",
                   Suggestion(name, ArchitectureNames())));
}

}  // namespace

absl::Status CheckPlan(const ModelPlan& plan) {
  ASSIGN_OR_RETURN(const Architecture* architecture, Find(plan.architecture));
  return architecture->check(plan);
}

absl::StatusOr<std::shared_ptr<ImageModel>> BuildModel(const ModelPlan& plan) {
  RETURN_IF_ERROR(CheckPlan(plan));
  ASSIGN_OR_RETURN(const Architecture* architecture, Find(plan.architecture));
  return architecture->make(plan);
}

std::string HeadPrefix(const ModelPlan& plan) {
  const absl::StatusOr<const Architecture*> architecture =
      Find(plan.architecture);
  return architecture.ok() ? (*architecture)->head(plan) : "";
}

std::vector<std::string> ArchitectureNames() {
  std::vector<std::string> names;
  for (const Architecture& architecture : kArchitectures) {
    names.push_back(architecture.name);
  }
  return names;
}

}  // namespace trainyard::runner
