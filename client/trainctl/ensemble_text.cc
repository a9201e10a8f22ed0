#include "client/trainctl/ensemble_text.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/trainctl/printer.h"
#include "client/trainctl/text.h"

namespace trainyard::trainctl {
namespace {

// "jobs/17", "resnet18", "torchscript".
std::string MemberKind(const v1::EnsembleMember& member) {
  if (!member.job().empty()) return Printable(member.job());
  return member.has_torchscript() ? "torchscript"
                                  : Printable(member.model().architecture());
}

}  // namespace

std::string MemberList(const v1::EnsembleInferenceSpec& ensemble) {
  constexpr size_t kMostShown = 8;
  std::vector<std::string> members;
  for (const v1::EnsembleMember& member : ensemble.members()) {
    if (members.size() == kMostShown) {
      members.push_back("…");
      break;
    }
    members.push_back(
        absl::StrCat(Printable(member.name()), " (", MemberKind(member), ")"));
  }
  return absl::StrCat(ensemble.members_size(), ": ",
                      absl::StrJoin(members, ", "));
}

std::string FusionText(const v1::EnsembleInferenceSpec& ensemble) {
  std::string text = EnumText(*v1::EnsembleInferenceSpec::Fusion_descriptor(),
                              ensemble.fusion());
  if (ensemble.mc_samples() > 1) {
    absl::StrAppend(&text, ", ", ensemble.mc_samples(),
                    " passes for members with dropout");
  }
  return text;
}

std::string PredictionFiles(const v1::Job& job) {
  std::vector<std::string> names;
  for (const v1::Output& output : job.outputs()) {
    if (absl::StartsWith(output.name(), "predictions.") ||
        absl::EndsWith(output.name(), ".npy")) {
      names.push_back(Printable(output.name()));
    }
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace trainyard::trainctl
