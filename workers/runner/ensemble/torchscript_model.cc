#include <torch/script.h>

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "workers/runner/ensemble/dropout_module.h"
#include "workers/runner/ensemble/fast_forward.h"
#include "workers/runner/ensemble/member_models.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

using Module = torch::jit::Module;

class TorchScriptModel : public InferenceModel {
 public:
  // `given`: in eval mode; `frozen`: made of it; `sampling`: with dropout on.
  TorchScriptModel(const Module& given, Module frozen,
                   std::optional<DropoutModule> sampling,
                   const data::SampleShape& shape, int64_t num_classes,
                   std::optional<ModelDescription> description)
      : forward_(
            [frozen] {
              return ReadNetwork(*frozen.get_method("forward").graph());
            },
            shape,
            [frozen](const at::Tensor& x) mutable {
              return frozen.forward({x}).toTensor().to(at::kFloat);
            }),
        sampling_(std::move(sampling)),
        has_dropout_(HasDropout(given)) {
    num_classes_ = num_classes;
    description_ = std::move(description);
    for (const at::Tensor& one : given.parameters()) {
      parameters_ += one.numel();
      bytes_ += static_cast<int64_t>(one.nbytes());
    }
    for (const at::Tensor& one : given.buffers()) {
      bytes_ += static_cast<int64_t>(one.nbytes());
    }
  }

  at::Tensor Logits(const at::Tensor& batch) override {
    return forward_.Run(batch);
  }
  at::Tensor LogitsWithDropout(const at::Tensor& batch,
                               at::Generator generator) override {
    return sampling_ ? sampling_->Run(batch, generator) : Logits(batch);
  }
  bool has_dropout() const override { return has_dropout_; }
  bool direct() const override { return forward_.direct(); }

 private:
  FastForward forward_;
  std::optional<DropoutModule> sampling_;
  const bool has_dropout_;
};

absl::StatusOr<Module> ReadModule(const MemberOptions& member,
                                  c10::Device device) {
  auto module = CatchTorch([&]() -> absl::StatusOr<Module> {
    return torch::jit::load(member.torchscript, device);
  });
  if (module.ok()) return module;
  return absl::InvalidArgumentError(
      absl::StrCat(member.torchscript, " is not a TorchScript module (",
                   module.status().message(), ")"));
}

// With its weights as constants and batch normalisation folded; as it is where
// that cannot be (a module that changes itself).
Module Frozen(const Module& module) {
  try {
    return torch::jit::freeze(module);
  } catch (const std::exception&) {
    return module;
  }
}

// Runs it once on black samples: N x classes floats must come out.
absl::StatusOr<int64_t> ClassesOf(Module& module, const MemberOptions& member,
                                  const InferenceOptions& options) {
  const data::SampleShape& shape = options.shape;
  const at::Tensor probe =
      at::zeros({2, shape.channels, shape.height, shape.width},
                at::TensorOptions().device(options.device));
  auto result = CatchTorch(
      [&]() -> absl::StatusOr<at::IValue> { return module.forward({probe}); });
  const std::string samples =
      absl::StrCat("samples of ", shape.channels, "x", shape.height, "x",
                   shape.width, " (channels x height x width)");
  if (!result.ok()) {
    const absl::Status& why = result.status();
    return absl::Status(absl::IsResourceExhausted(why)
                            ? why.code()
                            : absl::StatusCode::kInvalidArgument,
                        absl::StrCat(member.torchscript, " does not take ",
                                     samples, ": ", why.message()));
  }
  if (!result->isTensor() || result->toTensor().dim() != 2 ||
      result->toTensor().size(0) != 2 ||
      !result->toTensor().is_floating_point()) {
    return absl::InvalidArgumentError(absl::StrCat(
        member.torchscript, " gives for 2 ", samples, " ",
        result->isTensor()
            ? absl::StrCat("a tensor [",
                           absl::StrJoin(result->toTensor().sizes(), ", "), "]")
            : result->tagKind(),
        "; it must be logits, [2, classes]"));
  }
  return result->toTensor().size(1);
}

}  // namespace

absl::StatusOr<std::unique_ptr<InferenceModel>> LoadTorchScript(
    const MemberOptions& member, const InferenceOptions& options,
    std::optional<ModelDescription> description) {
  ASSIGN_OR_RETURN(Module module, ReadModule(member, options.device));
  module.eval();
  ASSIGN_OR_RETURN(const int64_t classes, ClassesOf(module, member, options));
  if (options.num_classes != 0 && classes != options.num_classes) {
    return absl::InvalidArgumentError(
        absl::StrCat(member.torchscript, " gives ", classes,
                     " classes, but there are ", options.num_classes));
  }
  std::optional<DropoutModule> sampling;
  if (options.mc_dropout && HasDropout(module)) {
    ASSIGN_OR_RETURN(sampling, DropoutModule::Make(module));
  }
  const Module frozen = Frozen(module);
  return std::make_unique<TorchScriptModel>(module, frozen, std::move(sampling),
                                            options.shape, classes,
                                            std::move(description));
}

}  // namespace trainyard::runner
