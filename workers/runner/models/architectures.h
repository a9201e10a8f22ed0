// What the registry knows of each architecture's file: Check says whether a
// plan fits, Make builds a checked one.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "workers/runner/models/model.h"
#include "workers/runner/models/registry.h"

namespace trainyard::runner {

absl::Status CheckMlp(const ModelPlan& plan);
std::shared_ptr<ImageModel> MakeMlp(const ModelPlan& plan);
std::string MlpHead(const ModelPlan& plan);

absl::Status CheckMnistCnn(const ModelPlan& plan);
std::shared_ptr<ImageModel> MakeMnistCnn(const ModelPlan& plan);
std::string MnistCnnHead(const ModelPlan& plan);

absl::Status CheckResNet18(const ModelPlan& plan);
std::shared_ptr<ImageModel> MakeResNet18(const ModelPlan& plan);
std::string ResNet18Head(const ModelPlan& plan);

}  // namespace trainyard::runner
