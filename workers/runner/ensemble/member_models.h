// The two kinds of members behind InferenceModel::Load, which checks what both
// share, catches exceptions and adds the member's name to errors.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "workers/runner/ensemble/inference_model.h"

namespace trainyard::runner {

// A built-in architecture with safetensors weights. options.num_classes is 0
// where nothing says it: the weights decide.
absl::StatusOr<std::unique_ptr<InferenceModel>> LoadBuiltIn(
    const MemberOptions& member, const InferenceOptions& options,
    std::optional<ModelDescription> description);

// A TorchScript module, scripted or traced.
absl::StatusOr<std::unique_ptr<InferenceModel>> LoadTorchScript(
    const MemberOptions& member, const InferenceOptions& options,
    std::optional<ModelDescription> description);

}  // namespace trainyard::runner
