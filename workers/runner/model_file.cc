#include "workers/runner/model_file.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/file.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/spec_section.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxDescriptionBytes = 64 << 20;
constexpr uint64_t kMaxSide = 1 << 16;

Json ToJson(const ModelDescription& description) {
  const ModelPlan& plan = description.plan;
  Json json = {{"trainyard_model", 1},
               {"architecture", plan.architecture},
               {"num_classes", plan.num_classes},
               {"input",
                {{"channels", plan.input.channels},
                 {"height", plan.input.height},
                 {"width", plan.input.width}}},
               {"normalization",
                {{"mean", description.normalization.mean},
                 {"std", description.normalization.stddev}}},
               {"classes", description.class_names}};
  if (plan.architecture == "mlp") json["hidden_sizes"] = plan.hidden_sizes;
  return json;
}

// An array of numbers of which each `right`.
template <typename T, typename Right>
absl::Status NumbersIn(Section& in, const std::string& name, Right right,
                       absl::string_view range, std::vector<T>* to) {
  const Json* value = in.Find(name);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_array()) {
    return WrongValue(in.PathOf(name), *value, "an array");
  }
  for (const Json& one : *value) {
    if (!one.is_number() || !right(one.get<double>())) {
      return WrongValue(in.PathOf(name), one,
                        absl::StrCat("an array of numbers ", range));
    }
    to->push_back(one.get<T>());
  }
  return absl::OkStatus();
}

absl::Status ParseInput(Section& in, data::SampleShape* shape) {
  RETURN_IF_ERROR(in.Whole("channels", 1, 1024, false, &shape->channels));
  RETURN_IF_ERROR(in.Whole("height", 1, kMaxSide, false, &shape->height));
  return in.Whole("width", 1, kMaxSide, false, &shape->width);
}

absl::Status ParseClasses(Section& in, std::vector<std::string>* names) {
  const Json* value = in.Find("classes");
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_array()) {
    return WrongValue(in.PathOf("classes"), *value, "an array of names");
  }
  for (const Json& one : *value) {
    if (!one.is_string()) {
      return WrongValue(in.PathOf("classes"), one, "an array of names");
    }
    names->push_back(one.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status ParseDescription(const Json& json, ModelDescription* description) {
  ModelPlan& plan = description->plan;
  Section in("", json);
  uint64_t version = 0;
  RETURN_IF_ERROR(in.Whole("trainyard_model", 1, 1, false, &version));
  if (version == 0) {
    return absl::InvalidArgumentError(
        "trainyard_model is not set; it must be 1, the version");
  }
  RETURN_IF_ERROR(in.Text("architecture", &plan.architecture));
  RETURN_IF_ERROR(
      in.Whole("num_classes", 2, 100'000, false, &plan.num_classes));
  if (plan.num_classes == 0) {
    return absl::InvalidArgumentError("num_classes is not set");
  }
  RETURN_IF_ERROR(NumbersIn(
      in, "hidden_sizes", [](double x) { return x >= 1 && x <= 65536; },
      "from 1 to 65536", &plan.hidden_sizes));
  RETURN_IF_ERROR(in.Object(
      "input", [&](Section& s) { return ParseInput(s, &plan.input); }));
  if (plan.input.size() == 0) {
    return absl::InvalidArgumentError(
        "input is not whole; it must have channels, height and width");
  }
  RETURN_IF_ERROR(ParseClasses(in, &description->class_names));
  return in.Object("normalization", [&](Section& s) -> absl::Status {
    data::Normalization& to = description->normalization;
    RETURN_IF_ERROR(NumbersIn(
        s, "mean", [](double) { return true; }, "", &to.mean));
    return NumbersIn(
        s, "std", [](double x) { return x > 0; }, "above 0", &to.stddev);
  });
}

}  // namespace

absl::Status SaveModel(const std::string& folder,
                       const ModelDescription& description,
                       const ImageModel& model) {
  torch::NoGradGuard no_grad;
  TensorFileContent content;
  content.Add("", StateOf(model));
  const absl::Status weights = data::WriteSafetensors(
      absl::StrCat(folder, "/", kWeightsFile), content.views(),
      {{"architecture", description.plan.architecture},
       {"num_classes", absl::StrCat(description.plan.num_classes)}});
  if (!weights.ok()) return absl::UnavailableError(weights.message());
  const absl::Status written = data::WriteFileAtomically(
      absl::StrCat(folder, "/", kDescriptionFile),
      ToJson(description).dump(2, ' ', false, Json::error_handler_t::replace) +
          "\n");
  if (!written.ok()) return absl::UnavailableError(written.message());
  return absl::OkStatus();
}

absl::StatusOr<ModelDescription> ReadDescription(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text,
                   data::ReadWholeFile(path, kMaxDescriptionBytes));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a JSON object"));
  }
  ModelDescription description;
  RETURN_IF_ERROR(WithContext(ParseDescription(json, &description), path));
  return description;
}

absl::StatusOr<LoadedModel> LoadModel(const std::string& folder) {
  LoadedModel loaded;
  ASSIGN_OR_RETURN(
      loaded.description,
      ReadDescription(absl::StrCat(folder, "/", kDescriptionFile)));
  ASSIGN_OR_RETURN(loaded.model, BuildModel(loaded.description.plan));
  RETURN_IF_ERROR(LoadWeights(absl::StrCat(folder, "/", kWeightsFile),
                              loaded.description.plan, loaded.model.get()));
  return loaded;
}

absl::Status LoadWeights(const std::string& path, const ModelPlan& plan,
                         ImageModel* model) {
  ASSIGN_OR_RETURN(const data::SafetensorsFile file,
                   data::SafetensorsFile::Open(path));
  torch::NoGradGuard no_grad;
  NamedTensors state = StateOf(*model);
  const absl::Status fits =
      LoadState(file.tensors(), "", Fit::kWeights, &state);
  if (fits.ok()) return fits;
  std::string message = absl::StrCat("the weights ", path, " do not fit ",
                                     plan.architecture, ": ", fits.message());
  const std::string head = HeadPrefix(plan);
  const auto bias = file.tensors().find(absl::StrCat(head, "bias"));
  if (bias != file.tensors().end() && bias->second.shape.size() == 1 &&
      bias->second.shape[0] != plan.num_classes) {
    absl::StrAppend(&message, " (the file's head ", head, "* has ",
                    bias->second.shape[0], " classes, this model has ",
                    plan.num_classes,
                    ": training.model.num_classes decides it)");
  }
  return absl::InvalidArgumentError(message);
}

}  // namespace trainyard::runner
