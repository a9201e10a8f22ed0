#include "workers/runner/ensemble/inference_model.h"

#include <ATen/core/grad_mode.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/ensemble/member_models.h"
#include "workers/runner/torch_status.h"

namespace trainyard::runner {
namespace {

std::string Text(const data::SampleShape& shape) {
  return absl::StrCat(shape.channels, "x", shape.height, "x", shape.width);
}

// What config says against the data and against what the member itself says.
absl::Status CheckDescription(const ModelDescription& description,
                              const MemberOptions& member,
                              const InferenceOptions& options) {
  const ModelPlan& plan = description.plan;
  if (!(plan.input == options.shape)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it takes samples of ", Text(plan.input),
        " (channels x height x width), as ", member.config,
        " says, but the data has ", Text(options.shape),
        "; set the data's image_size, or take a member made for such samples"));
  }
  if (member.torchscript.empty() && !plan.architecture.empty() &&
      plan.architecture != member.model.architecture) {
    return absl::InvalidArgumentError(absl::StrCat(
        "its model.architecture is \"", member.model.architecture, "\", but ",
        member.config, " describes a \"", plan.architecture, "\""));
  }
  return absl::OkStatus();
}

// Of several numbers of classes, those that are given must agree.
absl::StatusOr<int64_t> ClassesOf(const MemberOptions& member,
                                  const InferenceOptions& options,
                                  const ModelDescription* description) {
  const std::pair<int64_t, std::string> given[] = {
      {options.num_classes, "the data"},
      {member.model.num_classes, "model.num_classes"},
      {description ? description->plan.num_classes : 0, member.config}};
  const std::pair<int64_t, std::string>* first = nullptr;
  for (const auto& one : given) {
    if (one.first == 0) continue;
    if (first == nullptr) first = &one;
    if (one.first != first->first) {
      return absl::InvalidArgumentError(absl::StrCat(
          first->second, " has ", first->first, " classes, but ", one.second,
          " says ", one.first, "; they must be the same"));
    }
  }
  return first == nullptr ? 0 : first->first;
}

absl::StatusOr<std::unique_ptr<InferenceModel>> LoadMember(
    const MemberOptions& member, const InferenceOptions& options) {
  std::optional<ModelDescription> description;
  if (!member.config.empty()) {
    ASSIGN_OR_RETURN(description, ReadDescription(member.config));
    RETURN_IF_ERROR(CheckDescription(*description, member, options));
  }
  InferenceOptions checked = options;
  ASSIGN_OR_RETURN(
      checked.num_classes,
      ClassesOf(member, options, description ? &*description : nullptr));
  const at::NoGradGuard no_grad;
  if (member.torchscript.empty()) {
    return LoadBuiltIn(member, checked, std::move(description));
  }
  return LoadTorchScript(member, checked, std::move(description));
}

}  // namespace

absl::StatusOr<std::unique_ptr<InferenceModel>> InferenceModel::Load(
    const MemberOptions& member, const InferenceOptions& options) {
  auto model = CatchTorch([&] { return LoadMember(member, options); });
  if (model.ok()) return model;
  return WithContext(model.status(),
                     absl::StrCat("member \"", member.name, "\""));
}

}  // namespace trainyard::runner
