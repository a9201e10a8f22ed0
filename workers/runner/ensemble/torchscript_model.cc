#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <torch/script.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"
#include "workers/runner/ensemble/member_models.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

using Module = torch::jit::Module;

bool IsDropout(const Module& module) {
  const auto name = module.type()->name();
  return name && absl::StartsWith(name->name(), "Dropout") &&
         module.hasattr("training");
}

class TorchScriptModel : public InferenceModel {
 public:
  TorchScriptModel(Module module, int64_t num_classes,
                   std::optional<ModelDescription> description)
      : module_(std::move(module)) {
    num_classes_ = num_classes;
    description_ = std::move(description);
    for (const at::Tensor& one : module_.parameters()) {
      parameters_ += one.numel();
      bytes_ += static_cast<int64_t>(one.nbytes());
    }
    for (const at::Tensor& one : module_.buffers()) {
      bytes_ += static_cast<int64_t>(one.nbytes());
    }
    for (const Module& one : module_.modules()) {
      if (IsDropout(one)) dropouts_.push_back(one);
    }
  }

  at::Tensor Logits(const at::Tensor& batch) override {
    return module_.forward({batch}).toTensor();
  }

  at::Tensor LogitsWithDropout(const at::Tensor& batch,
                               at::Generator generator) override {
    at::Generator standard =
        at::globalContext().defaultGenerator(batch.device());
    standard.set_state(generator.get_state());
    for (Module& one : dropouts_) one.setattr("training", true);
    at::Tensor logits = Logits(batch);
    for (Module& one : dropouts_) one.setattr("training", false);
    generator.set_state(standard.get_state());
    return logits;
  }

  bool has_dropout() const override { return !dropouts_.empty(); }

 private:
  Module module_;
  std::vector<Module> dropouts_;
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
    return absl::Status(result.status().code(),
                        absl::StrCat(member.torchscript, " does not take ",
                                     samples, ": ", result.status().message()));
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
  return std::make_unique<TorchScriptModel>(std::move(module), classes,
                                            std::move(description));
}

}  // namespace trainyard::runner
