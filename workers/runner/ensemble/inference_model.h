// One member of an ensemble, prepared for inference: loaded, checked against
// the data, on its device, in the form that runs fastest there.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<InferenceModel> model,
//                    InferenceModel::Load(member, {device, shape, classes}));
//   absl::Status done = CatchTorch([&] {
//     const c10::InferenceMode inference;
//     at::Tensor logits = model->Logits(images);
//     ...
//
// Probabilities equal those of the plain model in eval mode within 1e-5. One
// model is not thread-safe; different ones may run at the same time.
// CUDA and MPS were not run on the machines this was written on.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/member.h"
#include "workers/runner/model_file.h"

namespace trainyard::runner {

struct InferenceOptions {
  c10::Device device = c10::kCPU;
  data::SampleShape shape;  // of the data
  // Of the data; a member with another number is refused. 0: not known, the
  // member says.
  int64_t num_classes = 0;
  // LogitsWithDropout will be called.
  bool mc_dropout = false;
};

class InferenceModel {
 public:
  // INVALID_ARGUMENT (or what reading the file gave) names the member and says
  // what does not fit. Never throws.
  static absl::StatusOr<std::unique_ptr<InferenceModel>> Load(
      const MemberOptions& member, const InferenceOptions& options);

  virtual ~InferenceModel() = default;

  // batch: N x C x H x W, F32, normalised, on the device; it is left as it is.
  // Returns N x classes, F32. Throws what LibTorch throws: call it inside
  // CatchTorch.
  virtual at::Tensor Logits(const at::Tensor& batch) = 0;

  // The same with dropout on and everything else in eval mode (MC dropout, Gal
  // & Ghahramani, 2016): same generator state, same masks. Equals Logits where
  // has_dropout() is false. Needs InferenceOptions::mc_dropout.
  virtual at::Tensor LogitsWithDropout(const at::Tensor& batch,
                                       at::Generator generator) = 0;

  // Whether a dropout layer that drops anything is in it.
  virtual bool has_dropout() const = 0;

  // Whether it runs by oneDNN directly; known after the first batch.
  virtual bool direct() const = 0;

  int64_t num_classes() const { return num_classes_; }
  // Learnt values, as the model was given.
  int64_t parameters() const { return parameters_; }
  // Of parameters and buffers, as the model was given.
  int64_t bytes() const { return bytes_; }
  // The member's model.json, if it has one.
  const std::optional<ModelDescription>& description() const {
    return description_;
  }

 protected:
  InferenceModel() = default;

  int64_t num_classes_ = 0;
  int64_t parameters_ = 0;
  int64_t bytes_ = 0;
  std::optional<ModelDescription> description_;
};

}  // namespace trainyard::runner
