#include "workers/runner/spec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/file.h"
#include "workers/runner/spec_section.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxSpecBytes = 4 << 20;
constexpr int kMaxDepth = 32;

const EnumNames<OptimizerKind> kOptimizerKinds = {
    {"sgd", OptimizerKind::kSgd},
    {"adam", OptimizerKind::kAdam},
    {"adamw", OptimizerKind::kAdamW}};
const EnumNames<DeviceKind> kDeviceKinds = {{"cpu", DeviceKind::kCpu},
                                            {"cuda", DeviceKind::kCuda},
                                            {"mps", DeviceKind::kMps}};
const EnumNames<data::DataFormat> kDataFormats = {
    {"idx", data::DataFormat::kIdx},
    {"cifar10", data::DataFormat::kCifar10},
    {"cifar100", data::DataFormat::kCifar100},
    {"image_folder", data::DataFormat::kImageFolder}};

// A `source` is always a path by the time a runner sees it.
absl::Status ParseSource(Section& in, const std::string& name,
                         std::string* path) {
  return in.Object(name, [path](Section& source) -> absl::Status {
    for (const char* other : {"artifact", "upload"}) {
      if (source.Find(other) != nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat(source.PathOf(other),
                         " is set; a runner takes only a path, the worker puts "
                         "it in the place of an artifact"));
      }
    }
    RETURN_IF_ERROR(source.Path("path", path));
    return source.RefuseUnknown();
  });
}

absl::Status ParseHiddenSizes(Section& in, std::vector<int64_t>* to) {
  const Json* value = in.Find("hidden_sizes");
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_array() || value->size() > 16) {
    return WrongValue(in.PathOf("hidden_sizes"), *value,
                      "an array of at most 16 widths");
  }
  std::vector<int64_t> sizes;
  for (const Json& size : *value) {
    if (!size.is_number_integer() || size < 1 || size > 65536) {
      return WrongValue(
          absl::StrCat(in.PathOf("hidden_sizes"), "[", sizes.size(), "]"), size,
          "a whole number from 1 to 65536");
    }
    sizes.push_back(size.get<int64_t>());
  }
  if (!sizes.empty()) *to = std::move(sizes);
  return absl::OkStatus();
}

absl::Status ParseModel(Section& in, ModelOptions* model) {
  RETURN_IF_ERROR(in.Text("architecture", &model->architecture));
  if (model->architecture.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        in.PathOf("architecture"), " is not set; it must name a model"));
  }
  RETURN_IF_ERROR(
      in.Whole("num_classes", 2, 100'000, true, &model->num_classes));
  RETURN_IF_ERROR(ParseHiddenSizes(in, &model->hidden_sizes));
  RETURN_IF_ERROR(ParseSource(in, "weights", &model->weights));
  return in.RefuseUnknown();
}

absl::Status ParseData(Section& in, TrainingOptions* training) {
  data::DataOptions& data = training->data;
  if (in.Find("format") == nullptr || *in.Find("format") == "") {
    return absl::InvalidArgumentError(
        absl::StrCat(in.PathOf("format"),
                     " is not set; it must be idx, "
                     "cifar10, cifar100 or image_folder"));
  }
  RETURN_IF_ERROR(in.OneOf("format", kDataFormats, &data.format));
  RETURN_IF_ERROR(ParseSource(in, "source", &data.path));
  if (data.path.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(in.PathOf("source.path"),
                     " is not set; it must be the folder with the data"));
  }
  RETURN_IF_ERROR(in.Real(
      "validation_split", [](double x) { return x >= 0 && x <= 0.9; },
      "from 0 to 0.9", &data.validation_split));
  data.image_size = 224;
  RETURN_IF_ERROR(in.Whole("image_size", 8, 4096, true, &data.image_size));
  RETURN_IF_ERROR(
      in.Whole("max_samples", 0, kAnyUint64, true, &data.max_samples));
  RETURN_IF_ERROR(in.Boolean("augment", &training->augment));
  return in.RefuseUnknown();
}

absl::Status ParseOptimizer(Section& in, OptimizerOptions* optimizer) {
  RETURN_IF_ERROR(in.OneOf("kind", kOptimizerKinds, &optimizer->kind));
  double rate = 0;
  RETURN_IF_ERROR(in.Real(
      "learning_rate", [](double x) { return x >= 0 && x <= 1000; },
      "above 0 and at most 1000", &rate));
  const bool sgd = optimizer->kind == OptimizerKind::kSgd;
  optimizer->learning_rate = rate > 0 ? rate : sgd ? 0.01 : 0.001;
  RETURN_IF_ERROR(in.Real(
      "momentum", [](double x) { return x >= 0 && x < 1; },
      "of at least 0 and below 1", &optimizer->momentum));
  if (optimizer->momentum > 0 && !sgd) {
    return absl::InvalidArgumentError(absl::StrCat(
        in.PathOf("momentum"), " is ", optimizer->momentum,
        "; only the kind sgd has it, this one is ", Name(optimizer->kind)));
  }
  optimizer->weight_decay =
      optimizer->kind == OptimizerKind::kAdamW ? 0.01 : 0.0;
  RETURN_IF_ERROR(in.Real(
      "weight_decay", [](double x) { return x >= 0 && x <= 1; }, "from 0 to 1",
      &optimizer->weight_decay));
  return in.RefuseUnknown();
}

absl::Status ParseCheckpoint(Section& in, CheckpointOptions* checkpoint) {
  RETURN_IF_ERROR(
      in.Whole("every_steps", 0, kAnyUint64, true, &checkpoint->every_steps));
  RETURN_IF_ERROR(in.Real(
      "every_seconds", [](double x) { return x >= 0; }, "of at least 0",
      &checkpoint->every_seconds));
  return in.RefuseUnknown();
}

absl::Status ParseTraining(Section& in, TrainingOptions* training) {
  RETURN_IF_ERROR(in.Object(
      "model", [&](Section& s) { return ParseModel(s, &training->model); }));
  RETURN_IF_ERROR(
      in.Object("data", [&](Section& s) { return ParseData(s, training); }));
  RETURN_IF_ERROR(in.Object("optimizer", [&](Section& s) {
    return ParseOptimizer(s, &training->optimizer);
  }));
  RETURN_IF_ERROR(in.Object("checkpoint", [&](Section& s) {
    return ParseCheckpoint(s, &training->checkpoint);
  }));
  RETURN_IF_ERROR(in.Whole("epochs", 1, 1'000'000, true, &training->epochs));
  RETURN_IF_ERROR(
      in.Whole("batch_size", 1, 1'000'000, true, &training->batch_size));
  RETURN_IF_ERROR(in.Whole("seed", 0, kAnyUint64, true, &training->seed));
  RETURN_IF_ERROR(
      in.Whole("max_steps", 0, kAnyUint64, true, &training->max_steps));
  RETURN_IF_ERROR(in.Whole("threads", 0, 1024, true, &training->threads));
  return in.RefuseUnknown();
}

absl::Status ParseDevice(Section& in, DeviceOptions* device) {
  RETURN_IF_ERROR(in.OneOf("kind", kDeviceKinds, &device->kind));
  RETURN_IF_ERROR(in.Whole("index", 0, 127, true, &device->index));
  return in.Whole("threads", 0, 1024, true, &device->threads);
}

absl::Status ParseTop(Section& in, Spec* spec) {
  uint64_t version = 0;
  RETURN_IF_ERROR(in.Whole("trainyard_runner", 1, 1, false, &version));
  if (version == 0) {
    return absl::InvalidArgumentError(
        "trainyard_runner is not set; it must be 1, the protocol's version");
  }
  RETURN_IF_ERROR(in.Whole("job", 0, kAnyUint64, true, &spec->job));
  RETURN_IF_ERROR(in.Whole("attempt", 0, kAnyUint64, true, &spec->attempt));
  if (in.Find("training") == nullptr) {
    return absl::InvalidArgumentError(
        "training is not set; this runner only knows training jobs");
  }
  RETURN_IF_ERROR(in.Object("training", [&](Section& s) {
    return ParseTraining(s, &spec->training);
  }));
  RETURN_IF_ERROR(in.Object(
      "device", [&](Section& s) { return ParseDevice(s, &spec->device); }));
  RETURN_IF_ERROR(in.Path("work_dir", &spec->work_dir));
  if (spec->work_dir.empty()) {
    return absl::InvalidArgumentError(
        "work_dir is not set; it must be an existing folder");
  }
  return in.Path("resume", &spec->resume);
}

}  // namespace

absl::StatusOr<Spec> ParseSpec(absl::string_view json) {
  if (json.size() > kMaxSpecBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the spec has ", json.size(),
                                                   " bytes; at most ",
                                                   kMaxSpecBytes, " are read"));
  }
  bool too_deep = false;
  const Json root = Json::parse(
      json.begin(), json.end(),
      [&too_deep](int depth, Json::parse_event_t, Json&) {
        too_deep = too_deep || depth > kMaxDepth;
        return !too_deep;
      },
      /*allow_exceptions=*/false);
  if (too_deep || !root.is_object()) {
    return absl::InvalidArgumentError(root.is_discarded()
                                          ? "the spec is not valid JSON"
                                          : "the spec is not a JSON object");
  }
  Spec spec;
  Section top("", root);
  RETURN_IF_ERROR(ParseTop(top, &spec));
  return spec;
}

absl::StatusOr<Spec> ReadSpec(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text,
                   data::ReadWholeFile(path, kMaxSpecBytes));
  absl::StatusOr<Spec> spec = ParseSpec(text);
  if (!spec.ok()) return WithContext(spec.status(), path);
  return spec;
}

std::string Name(data::DataFormat format) {
  return NameIn(kDataFormats, format);
}
std::string Name(OptimizerKind kind) { return NameIn(kOptimizerKinds, kind); }
std::string Name(DeviceKind kind) { return NameIn(kDeviceKinds, kind); }

}  // namespace trainyard::runner
