// A TorchScript module with dropout on and everything else in eval mode, whose
// masks come from a generator of the caller's (LibTorch's own dropout only
// knows the process's, which members that run at the same time would share).
//
//   ASSIGN_OR_RETURN(DropoutModule sampling, DropoutModule::Make(module));
//   at::Tensor logits = sampling.Run(batch, generator);
//
// Dropout layers are submodules of types Dropout and Dropout1d to 3d, scripted
// or traced. Not thread-safe; different ones may run at the same time.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/csrc/jit/api/module.h>

#include "absl/status/statusor.h"

namespace trainyard::runner {

// Whether there is a dropout layer that drops anything.
bool HasDropout(const torch::jit::Module& module);

class DropoutModule {
 public:
  // `module`: in eval mode; it is left as it is. INVALID_ARGUMENT: it cannot
  // be made constant, as a module that changes itself.
  static absl::StatusOr<DropoutModule> Make(const torch::jit::Module& module);

  at::Tensor Run(const at::Tensor& batch, const at::Generator& generator);

 private:
  explicit DropoutModule(torch::jit::Module module)
      : module_(std::move(module)) {}

  torch::jit::Module module_;
};

}  // namespace trainyard::runner
