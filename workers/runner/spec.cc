#include "workers/runner/spec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/file.h"
#include "workers/runner/ensemble/parse.h"
#include "workers/runner/spec_parts.h"
#include "workers/runner/spec_section.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxSpecBytes = 4 << 20;
constexpr int kMaxDepth = 32;
constexpr size_t kMaxDevices = 128;

const EnumNames<OptimizerKind> kOptimizerKinds = {
    {"sgd", OptimizerKind::kSgd},
    {"adam", OptimizerKind::kAdam},
    {"adamw", OptimizerKind::kAdamW}};
const EnumNames<DeviceKind> kDeviceKinds = {{"cpu", DeviceKind::kCpu},
                                            {"cuda", DeviceKind::kCuda},
                                            {"mps", DeviceKind::kMps}};
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
  RETURN_IF_ERROR(in.Object("data", [&](Section& s) {
    return ParseData(s, &training->data, &training->augment);
  }));
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

// Either training or ensemble.
absl::Status ParseWork(Section& in, Spec* spec) {
  const bool training = in.Find("training") != nullptr;
  const bool ensemble = in.Find("ensemble") != nullptr;
  if (training == ensemble) {
    return absl::InvalidArgumentError(
        absl::StrCat("training and ensemble are ", training ? "both" : "not",
                     " set; this runner takes exactly one of them"));
  }
  if (training) {
    return in.Object("training", [&](Section& s) {
      return ParseTraining(s, &spec->training);
    });
  }
  return in.Object("ensemble", [&](Section& s) {
    return ParseEnsemble(s, &spec->ensemble.emplace());
  });
}

// `devices`, the first of them beside it as `device`; alone, that is the list.
absl::Status ParseDevices(Section& in, Spec* spec) {
  RETURN_IF_ERROR(in.Object(
      "device", [&](Section& s) { return ParseDevice(s, &spec->device); }));
  const Json* list = in.Find("devices");
  if (list == nullptr || list->empty()) {
    spec->devices = {spec->device};
    return absl::OkStatus();
  }
  if (!list->is_array() || list->size() > kMaxDevices) {
    return WrongValue(
        "devices", *list,
        absl::StrCat("an array of at most ", kMaxDevices, " devices"));
  }
  for (const Json& one : *list) {
    const std::string path =
        absl::StrCat("devices[", spec->devices.size(), "]");
    if (!one.is_object()) return WrongValue(path, one, "an object");
    DeviceOptions device;
    Section section(path, one);
    RETURN_IF_ERROR(ParseDevice(section, &device));
    for (const DeviceOptions& other : spec->devices) {
      if (other.kind == device.kind && other.index == device.index) {
        return WrongValue(path, one, "another device than those before it");
      }
    }
    spec->devices.push_back(device);
  }
  if (in.Find("device") == nullptr) spec->device = spec->devices.front();
  const DeviceOptions& first = spec->devices.front();
  if (first.kind != spec->device.kind || first.index != spec->device.index) {
    return WrongValue("devices[0]", list->front(), "the same as device");
  }
  return absl::OkStatus();
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
  RETURN_IF_ERROR(ParseWork(in, spec));
  RETURN_IF_ERROR(ParseDevices(in, spec));
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

std::string Name(OptimizerKind kind) { return NameIn(kOptimizerKinds, kind); }
std::string Name(DeviceKind kind) { return NameIn(kDeviceKinds, kind); }

}  // namespace trainyard::runner
