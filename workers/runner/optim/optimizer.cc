#include "workers/runner/optim/optimizer.h"

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "base/status_macros.h"

namespace trainyard::runner {
namespace {

using torch::optim::Adam;
using torch::optim::AdamParamState;
using torch::optim::AdamW;
using torch::optim::AdamWParamState;
using torch::optim::Optimizer;
using torch::optim::SGD;
using torch::optim::SGDParamState;

// LibTorch 1.13 files a parameter's state under its address as text, 2.x under
// the address itself.
template <typename Map>
typename Map::key_type StateKey(const Map&, const torch::Tensor& parameter) {
  if constexpr (std::is_pointer_v<typename Map::key_type>) {
    return parameter.unsafeGetTensorImpl();
  } else {
    std::ostringstream key;
    key << parameter.unsafeGetTensorImpl();
    return key.str();
  }
}

const std::vector<torch::Tensor>& ParametersOf(const Optimizer& optimizer) {
  return optimizer.param_groups().at(0).params();
}

// What a rule keeps for each parameter, as tensors of fixed names.
NamedTensors Export(const SGDParamState& state) {
  return {{"momentum_buffer", state.momentum_buffer()}};
}

template <typename AdamState>
NamedTensors Export(const AdamState& state) {
  return {{"exp_avg", state.exp_avg()},
          {"exp_avg_sq", state.exp_avg_sq()},
          {"step", torch::tensor(state.step(), torch::kInt64)}};
}

// The same tensors, empty, to be loaded into.
template <typename State>
NamedTensors Blank(const torch::Tensor& parameter) {
  const auto empty = [&] { return torch::zeros_like(parameter); };
  if constexpr (std::is_same_v<State, SGDParamState>) {
    return {{"momentum_buffer", empty()}};
  } else {
    return {{"exp_avg", empty()},
            {"exp_avg_sq", empty()},
            {"step", torch::zeros({}, torch::kInt64)}};
  }
}

void Import(NamedTensors& from, SGDParamState* state) {
  state->momentum_buffer(from["momentum_buffer"]);
}

template <typename AdamState>
void Import(NamedTensors& from, AdamState* state) {
  state->exp_avg(from["exp_avg"]);
  state->exp_avg_sq(from["exp_avg_sq"]);
  state->step(from["step"].item<int64_t>());
}

template <typename State>
NamedTensors ExportAll(const Optimizer& optimizer,
                       const std::vector<std::string>& names) {
  NamedTensors all;
  const auto& parameters = ParametersOf(optimizer);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto found =
        optimizer.state().find(StateKey(optimizer.state(), parameters[i]));
    if (found == optimizer.state().end()) continue;
    for (auto& [field, tensor] :
         Export(static_cast<const State&>(*found->second))) {
      all[absl::StrCat(names.at(i), ".", field)] = tensor;
    }
  }
  return all;
}

template <typename State>
absl::Status ImportAll(const data::TensorMap& file, const std::string& prefix,
                       const std::vector<std::string>& names,
                       Optimizer* optimizer) {
  const auto& parameters = ParametersOf(*optimizer);
  NamedTensors all;
  for (size_t i = 0; i < parameters.size(); ++i) {
    for (auto& [field, tensor] : Blank<State>(parameters[i].detach())) {
      all[absl::StrCat(names.at(i), ".", field)] = tensor;
    }
  }
  RETURN_IF_ERROR(LoadState(file, prefix, Fit::kExact, &all));
  for (size_t i = 0; i < parameters.size(); ++i) {
    NamedTensors one = Blank<State>(parameters[i].detach());
    for (auto& [field, tensor] : one) {
      tensor = all[absl::StrCat(names.at(i), ".", field)];
    }
    auto state = std::make_unique<State>();
    Import(one, state.get());
    optimizer->state()[StateKey(optimizer->state(), parameters[i])] =
        std::move(state);
  }
  return absl::OkStatus();
}

bool HasPrefix(const data::TensorMap& file, const std::string& prefix) {
  const auto first = file.lower_bound(prefix);
  return first != file.end() && absl::StartsWith(first->first, prefix);
}

}  // namespace

std::unique_ptr<Optimizer> MakeOptimizer(
    const OptimizerOptions& options, std::vector<torch::Tensor> parameters) {
  const double rate = options.learning_rate;
  const double decay = options.weight_decay;
  switch (options.kind) {
    case OptimizerKind::kSgd:
      return std::make_unique<SGD>(std::move(parameters),
                                   torch::optim::SGDOptions(rate)
                                       .momentum(options.momentum)
                                       .weight_decay(decay));
    case OptimizerKind::kAdam:
      return std::make_unique<Adam>(
          std::move(parameters),
          torch::optim::AdamOptions(rate).weight_decay(decay));
    case OptimizerKind::kAdamW:
      return std::make_unique<AdamW>(
          std::move(parameters),
          torch::optim::AdamWOptions(rate).weight_decay(decay));
  }
  TORCH_CHECK(false, "an optimizer of unknown kind");
}

void ClearGradients(Optimizer& optimizer) {
  for (auto& group : optimizer.param_groups()) {
    for (torch::Tensor& parameter : group.params()) {
      parameter.mutable_grad() = torch::Tensor();
    }
  }
}

NamedTensors OptimizerState(const Optimizer& optimizer,
                            const std::vector<std::string>& names) {
  if (dynamic_cast<const SGD*>(&optimizer) != nullptr) {
    return ExportAll<SGDParamState>(optimizer, names);
  }
  if (dynamic_cast<const Adam*>(&optimizer) != nullptr) {
    return ExportAll<AdamParamState>(optimizer, names);
  }
  return ExportAll<AdamWParamState>(optimizer, names);
}

absl::Status RestoreOptimizer(const data::TensorMap& file,
                              const std::string& prefix,
                              const std::vector<std::string>& names,
                              Optimizer* optimizer) {
  if (!HasPrefix(file, prefix)) return absl::OkStatus();
  if (dynamic_cast<SGD*>(optimizer) != nullptr) {
    return ImportAll<SGDParamState>(file, prefix, names, optimizer);
  }
  if (dynamic_cast<Adam*>(optimizer) != nullptr) {
    return ImportAll<AdamParamState>(file, prefix, names, optimizer);
  }
  return ImportAll<AdamWParamState>(file, prefix, names, optimizer);
}

}  // namespace trainyard::runner
