// Between LibTorch's tensors and safetensors files.
//
//   NamedTensors state = StateOf(*model);        // torchvision's names
//   TensorFileContent content;
//   content.Add("model.", state);
//   data::WriteSafetensors(path, content.views(), metadata);
//   RETURN_IF_ERROR(LoadState(file.tensors(), "model.", kExact, &state));
//
// Not thread-safe.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/runner/data/safetensors.h"

namespace torch::nn {
class Module;
}

namespace trainyard::runner {

using NamedTensors = std::map<std::string, torch::Tensor>;

// Parameters and buffers; they share memory with the module's.
NamedTensors StateOf(const torch::nn::Module& module);

// What goes into a file: keeps the tensors' bytes on the CPU.
class TensorFileContent {
 public:
  // A contiguous tensor on the CPU is borrowed, not copied: it must not change
  // before the file is written.
  void Add(const std::string& prefix, const NamedTensors& tensors);
  const data::TensorMap& views() const { return views_; }

 private:
  std::vector<torch::Tensor> kept_;
  data::TensorMap views_;
};

// A copy of a file's tensor, on the CPU.
torch::Tensor ToTensor(const data::TensorView& view);

// How strictly a file must fit.
enum class Fit {
  // A checkpoint: same names, shapes and types.
  kExact,
  // Weights from elsewhere: any floating type; num_batches_tracked, which old
  // files lack, may be missing.
  kWeights,
};

// Copies those of `file` whose names begin with `prefix` into *state, in place.
// INVALID_ARGUMENT lists what is missing, unknown or of another shape, and
// changes nothing.
absl::Status LoadState(const data::TensorMap& file, const std::string& prefix,
                       Fit fit, NamedTensors* state);

}  // namespace trainyard::runner
