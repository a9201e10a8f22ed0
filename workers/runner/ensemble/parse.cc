#include "workers/runner/ensemble/parse.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/runner/spec_parts.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxMembers = 256;
constexpr size_t kLongestName = 63;

const EnumNames<FusionRule> kFusionRules = {
    {"mean", FusionRule::kMean},
    {"vote", FusionRule::kVote},
    {"weighted", FusionRule::kWeighted},
    {"uncertainty", FusionRule::kUncertainty}};
const EnumNames<OutputFormat> kOutputFormats = {{"jsonl", OutputFormat::kJsonl},
                                                {"csv", OutputFormat::kCsv},
                                                {"npy", OutputFormat::kNpy}};

bool IsName(const std::string& text) {
  return text.size() <= kLongestName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

absl::Status ParseName(Section& in, size_t index, std::string* name) {
  *name = absl::StrCat("member-", index + 1);
  std::string given;
  RETURN_IF_ERROR(in.Text("name", &given));
  if (given.empty()) return absl::OkStatus();
  if (!IsName(given)) {
    return WrongValue(in.PathOf("name"), Json(given),
                      "1 to 63 of a to z, 0 to 9, \"-\", \"_\" and \".\"");
  }
  *name = std::move(given);
  return absl::OkStatus();
}

absl::Status ParseMember(Section& in, size_t index, MemberOptions* member) {
  RETURN_IF_ERROR(ParseName(in, index, &member->name));
  const bool built_in = in.Find("model") != nullptr;
  if (built_in) {
    RETURN_IF_ERROR(in.Object(
        "model", [&](Section& s) { return ParseModel(s, &member->model); }));
  }
  RETURN_IF_ERROR(ParseSource(in, "torchscript", &member->torchscript));
  if (built_in != member->torchscript.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        in.PathOf("model"), " and ", in.PathOf("torchscript.path"), " are ",
        built_in ? "both" : "not",
        " set; a member is exactly one of them (the worker puts a job's model "
        "into model)"));
  }
  if (built_in && member->model.weights.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(in.PathOf("model.weights.path"),
                     " is not set; it must be a safetensors file"));
  }
  RETURN_IF_ERROR(ParseSource(in, "config", &member->config));
  RETURN_IF_ERROR(in.Real(
      "weight", [](double x) { return x >= 0; }, "of at least 0",
      &member->weight));
  in.Find("job");  // information only
  return in.RefuseUnknown();
}

absl::Status ParseMembers(Section& in, std::vector<MemberOptions>* members) {
  const Json* list = in.Find("members");
  if (list == nullptr || !list->is_array() || list->empty() ||
      list->size() > kMaxMembers) {
    return WrongValue(in.PathOf("members"), list == nullptr ? Json() : *list,
                      absl::StrCat("an array of 1 to ", kMaxMembers, " members",
                                   list != nullptr && list->is_array()
                                       ? absl::StrCat("; it has ", list->size())
                                       : ""));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = absl::StrCat(in.PathOf("members"), "[", i, "]");
    if (!(*list)[i].is_object())
      return WrongValue(path, (*list)[i], "an object");
    Section section(path, (*list)[i]);
    RETURN_IF_ERROR(ParseMember(section, i, &members->emplace_back()));
    if (!names.insert(members->back().name).second) {
      return WrongValue(section.PathOf("name"), Json(members->back().name),
                        "another name than those of the members before it");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseOutputs(Section& in, std::vector<OutputFormat>* outputs) {
  const Json* list = in.Find("outputs");
  if (list == nullptr || list->empty()) return absl::OkStatus();
  const auto right = "an array of jsonl, csv and npy, each at most once";
  if (!list->is_array() || list->size() > kOutputFormats.size()) {
    return WrongValue(in.PathOf("outputs"), *list, right);
  }
  outputs->clear();
  for (const Json& one : *list) {
    const auto known = std::find_if(
        kOutputFormats.begin(), kOutputFormats.end(),
        [&one](const auto& format) { return one == format.first; });
    if (known == kOutputFormats.end() ||
        std::count(outputs->begin(), outputs->end(), known->second) > 0) {
      return WrongValue(in.PathOf("outputs"), *list, right);
    }
    outputs->push_back(known->second);
  }
  return absl::OkStatus();
}

absl::Status ParsePredictedData(Section& in, data::DataOptions* data) {
  bool augment = false;
  RETURN_IF_ERROR(ParseData(in, data, &augment));
  if (augment) {
    return WrongValue(in.PathOf("augment"), Json(true),
                      "absent: samples are predicted as they are");
  }
  if (data->validation_split != 0) {
    return WrongValue(in.PathOf("validation_split"),
                      Json(data->validation_split),
                      "absent: every sample is predicted");
  }
  return absl::OkStatus();
}

absl::Status CheckWeights(const EnsembleOptions& ensemble) {
  if (ensemble.fusion != FusionRule::kWeighted) return absl::OkStatus();
  double sum = 0;
  for (const MemberOptions& member : ensemble.members) sum += member.weight;
  if (sum > 0 && std::isfinite(sum)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the weights of ensemble.members sum up to ", sum,
      "; for the fusion weighted their sum must be a number above 0"));
}

}  // namespace

absl::Status ParseEnsemble(Section& in, EnsembleOptions* ensemble) {
  RETURN_IF_ERROR(ParseMembers(in, &ensemble->members));
  RETURN_IF_ERROR(in.Object("data", [&](Section& s) {
    return ParsePredictedData(s, &ensemble->data);
  }));
  RETURN_IF_ERROR(in.OneOf("fusion", kFusionRules, &ensemble->fusion));
  RETURN_IF_ERROR(in.Whole("mc_samples", 1, 1000, true, &ensemble->mc_samples));
  RETURN_IF_ERROR(
      in.Whole("batch_size", 1, 1'000'000, true, &ensemble->batch_size));
  RETURN_IF_ERROR(in.Whole("seed", 0, kAnyUint64, true, &ensemble->seed));
  RETURN_IF_ERROR(in.Whole("threads", 0, 1024, true, &ensemble->threads));
  RETURN_IF_ERROR(ParseOutputs(in, &ensemble->outputs));
  RETURN_IF_ERROR(in.RefuseUnknown());
  return CheckWeights(*ensemble);
}

std::string Name(FusionRule rule) { return NameIn(kFusionRules, rule); }
std::string Name(OutputFormat format) { return NameIn(kOutputFormats, format); }

}  // namespace trainyard::runner
