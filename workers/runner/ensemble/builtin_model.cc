#include <sys/mman.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

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

// Puts the file's own pages in the place of the weights that were copied from
// it, and returns those weights: members that wait for their first batch cost
// no memory for them. Files in use are replaced, never rewritten; what is not
// aligned stays a copy.
absl::StatusOr<std::vector<torch::Tensor>> MapWeights(const std::string& path,
                                                      ImageModel* model) {
  ASSIGN_OR_RETURN(data::SafetensorsFile opened,
                   data::SafetensorsFile::Open(path));
  const auto file =
      std::make_shared<const data::SafetensorsFile>(std::move(opened));
  std::vector<torch::Tensor> mapped;
  for (auto& item : model->named_parameters()) {
    const auto found = file->tensors().find(item.key());
    torch::Tensor& to = item.value();
    if (found == file->tensors().end()) continue;
    const data::TensorView& view = found->second;
    if (view.dtype != data::DType::kF32 || view.size != to.nbytes() ||
        to.scalar_type() != torch::kFloat32 || !to.is_contiguous() ||
        reinterpret_cast<uintptr_t>(view.data) % alignof(float) != 0) {
      continue;
    }
    // Nothing writes to the weights of a member.
    auto* bytes = const_cast<std::byte*>(view.data);
    to.unsafeGetTensorImpl()->set_storage_keep_dtype(
        torch::from_blob(
            bytes, to.sizes(), [file](void*) {}, torch::kFloat32)
            .storage());
    mapped.push_back(to);
  }
  return mapped;
}

// Gives back the memory of mapped weights that were read; whoever reads them
// again gets them from the file again.
void LetGo(const std::vector<torch::Tensor>& mapped) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  for (const torch::Tensor& one : mapped) {
    const auto begin = reinterpret_cast<uintptr_t>(one.data_ptr());
    const uintptr_t end = begin + one.nbytes();
    const uintptr_t first = (begin + page - 1) / page * page;
    const uintptr_t last = end / page * page;
    if (first < last) {
      ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
    }
  }
}

class BuiltInModel : public InferenceModel {
 public:
  // `model`: in eval mode, on the device. `mapped`: what of it is in a file.
  BuiltInModel(const std::shared_ptr<ImageModel>& model, const ModelPlan& plan,
               std::vector<torch::Tensor> mapped,
               std::optional<ModelDescription> description)
      : forward_(
            [model, shape = plan.input] { return NetworkOf(*model, shape); },
            plan.input,
            [model](const at::Tensor& x) { return model->forward(x); },
            [mapped = std::move(mapped)] { LetGo(mapped); }) {
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
  std::vector<torch::Tensor> mapped;
  if (options.device.is_cpu()) {
    ASSIGN_OR_RETURN(mapped, MapWeights(member.model.weights, model.get()));
  }
  model->to(options.device);
  return std::make_unique<BuiltInModel>(model, *plan, std::move(mapped),
                                        std::move(description));
}

}  // namespace trainyard::runner
