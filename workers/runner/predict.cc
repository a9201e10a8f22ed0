#include "workers/runner/predict.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/model_file.h"
#include "workers/runner/tensors.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

constexpr int64_t kBatch = 64;

absl::StatusOr<torch::Tensor> ReadInput(const std::string& path,
                                        const data::SampleShape& shape) {
  ASSIGN_OR_RETURN(const data::SafetensorsFile file,
                   data::SafetensorsFile::Open(path));
  ASSIGN_OR_RETURN(const data::TensorView view, file.Find("input"));
  const std::vector<int64_t>& is = view.shape;
  if (view.dtype != data::DType::kF32 || is.size() != 4 || is[0] < 1 ||
      is[1] != shape.channels || is[2] != shape.height ||
      is[3] != shape.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": input is ", data::DTypeName(view.dtype), " [",
        absl::StrJoin(is, ", "), "]; it must be F32 [N, ", shape.channels, ", ",
        shape.height, ", ", shape.width, "], as model.json says"));
  }
  return ToTensor(view);
}

}  // namespace

absl::Status Predict(const PredictOptions& options) {
  return CatchTorch([&]() -> absl::Status {
    const c10::InferenceMode inference;
    ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(options.model_dir));
    ASSIGN_OR_RETURN(const torch::Tensor input,
                     ReadInput(options.input, loaded.description.plan.input));
    loaded.model->eval();
    std::vector<torch::Tensor> logits;
    for (const torch::Tensor& images : input.split(kBatch)) {
      logits.push_back(loaded.model->forward(images));
    }
    TensorFileContent content;
    content.Add("", {{"logits", torch::cat(logits)}});
    return data::WriteSafetensors(options.output, content.views(), {});
  });
}

}  // namespace trainyard::runner
