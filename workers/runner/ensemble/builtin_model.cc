#include <torch/csrc/jit/frontend/tracer.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/ensemble/fast_forward.h"
#include "workers/runner/ensemble/member_models.h"
#include "workers/runner/models/model.h"
#include "workers/runner/models/registry.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {
namespace {

// What the model does with one sample, written down.
std::optional<Network> NetworkOf(ImageModel& model,
                                 const data::SampleShape& shape) {
  const at::Tensor sample =
      at::zeros({1, shape.channels, shape.height, shape.width});
  const auto forward = [&](torch::jit::Stack in) -> torch::jit::Stack {
    return {model.forward(in[0].toTensor())};
  };
  const auto trace = torch::jit::tracer::trace(
      {sample}, forward, [](const at::Tensor&) { return std::string(); },
      /*strict=*/true, /*force_outplace=*/true);
  return ReadNetwork(*trace.first->graph);
}

class BuiltInModel : public InferenceModel {
 public:
  // `model`: in eval mode, on the device.
  BuiltInModel(const std::shared_ptr<ImageModel>& model, const ModelPlan& plan,
               std::optional<Network> network,
               std::optional<ModelDescription> description)
      : forward_(std::move(network), plan.input,
                 [model](const at::Tensor& x) { return model->forward(x); }) {
    num_classes_ = plan.num_classes;
    description_ = std::move(description);
    for (const torch::Tensor& one : model->parameters()) {
      parameters_ += one.numel();
    }
    for (const auto& [name, tensor] : StateOf(*model)) {
      bytes_ += static_cast<int64_t>(tensor.nbytes());
    }
  }

  at::Tensor Logits(const at::Tensor& batch) override {
    return forward_.Run(batch);
  }
  at::Tensor LogitsWithDropout(const at::Tensor& batch,
                               at::Generator) override {
    return Logits(batch);
  }
  bool has_dropout() const override { return false; }
  bool direct() const override { return forward_.direct(); }

 private:
  FastForward forward_;
};

// What the head's bias in the weights says; 0: there is none.
absl::StatusOr<int64_t> ClassesInWeights(const MemberOptions& member,
                                         const ModelPlan& plan) {
  ASSIGN_OR_RETURN(const data::SafetensorsFile file,
                   data::SafetensorsFile::Open(member.model.weights));
  const auto bias = file.tensors().find(absl::StrCat(HeadPrefix(plan), "bias"));
  if (bias == file.tensors().end() || bias->second.shape.size() != 1) return 0;
  return bias->second.shape[0];
}

absl::StatusOr<ModelPlan> PlanOf(const MemberOptions& member,
                                 const InferenceOptions& options,
                                 const ModelDescription* description) {
  ModelPlan plan{.architecture = member.model.architecture,
                 .hidden_sizes = member.model.hidden_sizes,
                 .num_classes = options.num_classes,
                 .input = options.shape};
  if (description != nullptr && !description->plan.hidden_sizes.empty()) {
    plan.hidden_sizes = description->plan.hidden_sizes;
  }
  RETURN_IF_ERROR(CheckPlan(plan));
  if (member.model.weights.empty()) {
    return absl::InvalidArgumentError(
        "model.weights is not set; it must be a safetensors file");
  }
  ASSIGN_OR_RETURN(const int64_t classes, ClassesInWeights(member, plan));
  if (plan.num_classes == 0) plan.num_classes = classes;
  if (classes > 0 && classes != plan.num_classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the weights ", member.model.weights, " are for ", classes,
                     " classes, but there are ", plan.num_classes));
  }
  if (plan.num_classes < 1) {
    return absl::InvalidArgumentError(
        "nothing says how many classes there are; set model.num_classes");
  }
  return plan;
}

// The registry speaks of a training job.
absl::Status InMembersWords(const absl::Status& status) {
  return absl::Status(
      status.code(),
      absl::StrReplaceAll(status.message(), {{"training.model", "model"}}));
}

}  // namespace

absl::StatusOr<std::unique_ptr<InferenceModel>> LoadBuiltIn(
    const MemberOptions& member, const InferenceOptions& options,
    std::optional<ModelDescription> description) {
  auto plan = PlanOf(member, options, description ? &*description : nullptr);
  if (!plan.ok()) return InMembersWords(plan.status());
  ASSIGN_OR_RETURN(std::shared_ptr<ImageModel> model, BuildModel(*plan));
  const absl::Status loaded =
      LoadWeights(member.model.weights, *plan, model.get());
  if (!loaded.ok()) return InMembersWords(loaded);
  model->eval();
  for (torch::Tensor& one : model->parameters()) one.requires_grad_(false);
  std::optional<Network> network;
  if (options.device.is_cpu()) network = NetworkOf(*model, options.shape);
  model->to(options.device);
  return std::make_unique<BuiltInModel>(model, *plan, std::move(network),
                                        std::move(description));
}

}  // namespace trainyard::runner
