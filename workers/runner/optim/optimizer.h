// The update rules (torch.optim's formulas) and their state by parameter name.
//
//   auto optimizer = MakeOptimizer(options, model->parameters());
//   NamedTensors state = OptimizerState(*optimizer, names);
//     // "conv1.weight.momentum_buffer", or ".exp_avg", ".exp_avg_sq", ".step"
//
// Not thread-safe.
#pragma once

#include <torch/optim/optimizer.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/spec.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {

std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(
    const OptimizerOptions& options, std::vector<torch::Tensor> parameters);

// Forgets the gradients, so that the next step does not add to them.
void ClearGradients(torch::optim::Optimizer& optimizer);

// The state of a MakeOptimizer one, by parameter name in its order; empty
// before the first step and for plain SGD.
NamedTensors OptimizerState(const torch::optim::Optimizer& optimizer,
                            const std::vector<std::string>& names);

// Puts back what OptimizerState gave, from a file's tensors that begin with
// `prefix`. INVALID_ARGUMENT names what is missing, unknown or misshapen.
absl::Status RestoreOptimizer(const data::TensorMap& file,
                              const std::string& prefix,
                              const std::vector<std::string>& names,
                              torch::optim::Optimizer* optimizer);

}  // namespace trainyard::runner
