#include "server/rpc/validate_ensemble.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"
#include "server/rpc/validate_model.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxMembers = 256;
constexpr size_t kMaxMemberName = 63;

std::string MemberPath(int index) {
  return absl::StrCat("ensemble.members[", index, "]");
}

bool IsMemberNameCharacter(unsigned char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' ||
         c == '_' || c == '.';
}

absl::Status CheckMemberName(const std::string& name) {
  if (name.size() <= kMaxMemberName &&
      std::all_of(name.begin(), name.end(), IsMemberNameCharacter)) {
    return absl::OkStatus();
  }
  return WrongValue("name", Quoted(name),
                    "1 to 63 of a to z, 0 to 9, '-', '_' and '.'");
}

// What the member is: exactly one of them.
absl::Status CheckKind(const v1::EnsembleMember& member) {
  const bool job = !member.job().empty();
  if (member.has_torchscript() && (job || member.has_model())) {
    return BadField("torchscript",
                    absl::StrCat("given beside ", job ? "job" : "model",
                                 ": must be one of model, torchscript and "
                                 "job"));
  }
  if (job) return ParseJobName("job", member.job()).status();
  if (member.has_torchscript()) {
    return Below("torchscript", CheckSource(member.torchscript()));
  }
  if (member.has_model()) return absl::OkStatus();
  return NotSet("model", "there, or torchscript, or job: the member's model");
}

absl::Status CheckMember(const v1::DataSpec& data, v1::EnsembleMember* member) {
  RETURN_IF_ERROR(CheckKnown("", *member));
  RETURN_IF_ERROR(CheckMemberName(member->name()));
  RETURN_IF_ERROR(CheckKind(*member));
  if (!member->job().empty()) return absl::OkStatus();
  if (member->has_model()) {
    v1::ModelSpec* model = member->mutable_model();
    RETURN_IF_ERROR(Below("model", CheckModel(model)));
    if (!model->has_weights()) {
      return NotSet("model.weights",
                    "a safetensors file: an untrained model predicts nothing");
    }
    if (!member->has_config()) {  // one may resize what the data has
      RETURN_IF_ERROR(Below("model", CheckFit(*model, data)));
    }
  }
  if (!member->has_config()) return absl::OkStatus();
  return Below("config", CheckSource(member->config()));
}

// Names are there already.
absl::Status CheckDifferentNames(const v1::EnsembleInferenceSpec& ensemble) {
  absl::flat_hash_map<std::string, int> first;
  for (int i = 0; i < ensemble.members_size(); ++i) {
    const std::string& name = ensemble.members(i).name();
    const auto [it, added] = first.try_emplace(name, i);
    if (added) continue;
    return BadField(absl::StrCat(MemberPath(i), ".name"),
                    absl::StrCat(Quoted(name), ": ", MemberPath(it->second),
                                 " has this name: must be different names"));
  }
  return absl::OkStatus();
}

absl::Status CheckWeights(v1::EnsembleInferenceSpec* ensemble) {
  const bool weighted =
      ensemble->fusion() == v1::EnsembleInferenceSpec::FUSION_WEIGHTED;
  double sum = 0;
  for (int i = 0; i < ensemble->members_size(); ++i) {
    v1::EnsembleMember* member = ensemble->mutable_members(i);
    const std::string path = absl::StrCat(MemberPath(i), ".weight");
    if (!weighted) {
      if (!member->has_weight() || member->weight() == 1) continue;
      return BadField(path, absl::StrCat(member->weight(),
                                         ": only fusion weighted has weights: "
                                         "leave it out"));
    }
    if (!member->has_weight()) member->set_weight(1);
    if (!(member->weight() >= 0) || !std::isfinite(member->weight())) {
      return WrongValue(path, absl::StrCat(member->weight()),
                        "a finite number, at least 0");
    }
    sum += member->weight();
  }
  if (!weighted || (sum > 0 && std::isfinite(sum))) return absl::OkStatus();
  return BadField("ensemble.members",
                  absl::StrCat("the weights have the sum ", sum,
                               ": must be above 0 and finite"));
}

absl::Status CheckMembers(v1::EnsembleInferenceSpec* ensemble) {
  if (ensemble->members().empty()) {
    return NotSet("ensemble.members", "1 to 256 models");
  }
  RETURN_IF_ERROR(CheckCount("ensemble.members",
                             static_cast<size_t>(ensemble->members_size()),
                             kMaxMembers));
  for (int i = 0; i < ensemble->members_size(); ++i) {
    v1::EnsembleMember* member = ensemble->mutable_members(i);
    if (member->name().empty()) {
      member->set_name(absl::StrCat("member-", i + 1));
    }
    const absl::Status status = CheckMember(ensemble->data(), member);
    if (!status.ok()) return Below(MemberPath(i), status);
  }
  RETURN_IF_ERROR(CheckDifferentNames(*ensemble));
  return CheckWeights(ensemble);
}

absl::Status CheckPredictedData(v1::DataSpec* data) {
  RETURN_IF_ERROR(Below("ensemble.data", CheckData(data)));
  if (data->validation_split() != 0) {
    return BadField("ensemble.data.validation_split",
                    absl::StrCat(data->validation_split(),
                                 ": every sample is predicted: leave it out"));
  }
  if (!data->augment()) return absl::OkStatus();
  return BadField("ensemble.data.augment",
                  "true: samples are predicted as they are: leave it out");
}

absl::Status CheckFusion(v1::EnsembleInferenceSpec* ensemble) {
  using Spec = v1::EnsembleInferenceSpec;
  if (ensemble->fusion() == Spec::FUSION_UNSPECIFIED) {
    ensemble->set_fusion(Spec::FUSION_MEAN);
  }
  if (Spec::Fusion_IsValid(ensemble->fusion())) return absl::OkStatus();
  return WrongValue("ensemble.fusion",
                    absl::StrCat(static_cast<int>(ensemble->fusion())),
                    OneOf<Spec::Fusion>());
}

absl::Status CheckOutputs(v1::EnsembleInferenceSpec* ensemble) {
  using Spec = v1::EnsembleInferenceSpec;
  if (ensemble->outputs().empty()) {
    ensemble->add_outputs(Spec::OUTPUT_FORMAT_JSONL);
  }
  for (int i = 0; i < ensemble->outputs_size(); ++i) {
    const Spec::OutputFormat output = ensemble->outputs(i);
    const std::string path = absl::StrCat("ensemble.outputs[", i, "]");
    if (output == Spec::OUTPUT_FORMAT_UNSPECIFIED ||
        !Spec::OutputFormat_IsValid(output)) {
      return WrongValue(path, absl::StrCat(static_cast<int>(output)),
                        OneOf<Spec::OutputFormat>());
    }
    const auto end = ensemble->outputs().begin() + i;
    if (std::find(ensemble->outputs().begin(), end, output) != end) {
      return BadField(path, "is there twice: must be given once");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateAndComplete(v1::EnsembleInferenceSpec* ensemble) {
  RETURN_IF_ERROR(CheckKnown("ensemble", *ensemble));
  if (!ensemble->has_data()) {
    return NotSet("ensemble.data", "there: the samples to predict");
  }
  RETURN_IF_ERROR(CheckPredictedData(ensemble->mutable_data()));
  RETURN_IF_ERROR(CheckFusion(ensemble));
  RETURN_IF_ERROR(CheckMembers(ensemble));
  RETURN_IF_ERROR(CheckOutputs(ensemble));
  if (ensemble->mc_samples() == 0) ensemble->set_mc_samples(1);
  RETURN_IF_ERROR(
      CheckWhole("ensemble.mc_samples", ensemble->mc_samples(), 1, 1000));
  if (ensemble->batch_size() == 0) ensemble->set_batch_size(64);
  RETURN_IF_ERROR(
      CheckWhole("ensemble.batch_size", ensemble->batch_size(), 1, 1'000'000));
  return CheckWhole("ensemble.threads", ensemble->threads(), 0, 1024);
}

}  // namespace trainyard::rpc
