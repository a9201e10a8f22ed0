#include "workers/agent/input_names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace trainyard::agent {

InputNames::InputNames(std::string cache_folder, const v1::JobSpec& asked,
                       const v1::JobSpec& resolved)
    : cache_folder_(std::move(cache_folder)) {
  Add("training.data.source", asked.training().data().source(),
      resolved.training().data().source());
  Add("training.model.weights", asked.training().model().weights(),
      resolved.training().model().weights());
  Add("ensemble.data.source", asked.ensemble().data().source(),
      resolved.ensemble().data().source());
  for (int i = 0; i < asked.ensemble().members_size(); ++i) {
    const v1::EnsembleMember& from = asked.ensemble().members(i);
    const v1::EnsembleMember& to = resolved.ensemble().members(i);
    const std::string member = absl::StrCat("ensemble.members[", i, "].");
    Add(member + "model.weights", from.model().weights(), to.model().weights());
    Add(member + "torchscript", from.torchscript(), to.torchscript());
    Add(member + "config", from.config(), to.config());
  }
}

void InputNames::Add(std::string field, const v1::Source& asked,
                     const v1::Source& resolved) {
  // A path is the submitter's own name for it.
  if (asked.from_case() != v1::Source::kArtifact) return;
  names_.emplace_back(resolved.path(), std::move(field));
}

std::string InputNames::In(absl::string_view text) const {
  // Most lines name none, and there may be hundreds of inputs.
  if (names_.empty() || !absl::StrContains(text, cache_folder_)) {
    return std::string(text);
  }
  return absl::StrReplaceAll(text, names_);
}

}  // namespace trainyard::agent
