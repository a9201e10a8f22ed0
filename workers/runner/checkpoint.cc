#include "workers/runner/checkpoint.h"

#include <ATen/Context.h>
#include <torch/optim/optimizer.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "workers/runner/data/safetensors.h"
#include "workers/runner/optim/optimizer.h"
#include "workers/runner/spec_section.h"
#include "workers/runner/tensors.h"

namespace trainyard::runner {
namespace {

using Json = nlohmann::json;

constexpr char kFormat[] = "trainyard-checkpoint";
constexpr char kVersion[] = "1";
constexpr size_t kCheckpointsKept = 2;

uint32_t Crc32Of(uint32_t crc, const void* data, size_t size) {
  return static_cast<uint32_t>(
      crc32_z(crc, static_cast<const Bytef*>(data), size));
}

// CRC-32 (zlib's) over the metadata's state and each tensor in order of name.
std::string Checksum(const std::string& state, const data::TensorMap& tensors) {
  uint32_t crc = Crc32Of(0, state.data(), state.size());
  for (const auto& [name, view] : tensors) {
    const std::string head =
        absl::StrCat("\n", name, " ", data::DTypeName(view.dtype), " ",
                     absl::StrJoin(view.shape, ","), "\n");
    crc = Crc32Of(crc, head.data(), head.size());
    if (view.size > 0) crc = Crc32Of(crc, view.data, view.size);
  }
  return absl::StrFormat("%08x", crc);
}

std::vector<std::string> ParameterNames(const ImageModel& model) {
  std::vector<std::string> names;
  for (const auto& item : model.named_parameters()) names.push_back(item.key());
  return names;
}

// The CPU's generator, and the device's own where it has one.
std::vector<std::pair<std::string, torch::Device>> Generators(
    torch::Device device) {
  std::vector<std::pair<std::string, torch::Device>> all = {
      {"cpu", torch::kCPU}};
  if (!device.is_cpu()) {
    all.emplace_back(device.is_cuda() ? "cuda" : "mps", device);
  }
  return all;
}

NamedTensors GeneratorStates(torch::Device device) {
  NamedTensors states;
  for (const auto& [name, on] : Generators(device)) {
    at::Generator generator = at::globalContext().defaultGenerator(on);
    std::lock_guard<std::mutex> lock(generator.mutex());
    states[name] = generator.get_state();
  }
  return states;
}

// A generator that the file does not have (it was written on another kind of
// device) keeps its seed.
absl::Status RestoreGenerators(const data::TensorMap& tensors,
                               torch::Device device) {
  for (const auto& [name, on] : Generators(device)) {
    const auto found = tensors.find(absl::StrCat("rng.", name));
    if (found == tensors.end()) continue;
    at::Generator generator = at::globalContext().defaultGenerator(on);
    std::lock_guard<std::mutex> lock(generator.mutex());
    const torch::Tensor now = generator.get_state();
    if (found->second.dtype != data::DType::kU8 ||
        found->second.size != static_cast<size_t>(now.numel())) {
      return absl::InvalidArgumentError(
          absl::StrCat(found->first, " has ", found->second.size,
                       " bytes; this LibTorch's generator has ", now.numel()));
    }
    generator.set_state(ToTensor(found->second).view(now.sizes()));
  }
  return absl::OkStatus();
}

// "training.batch_size is 32 in the checkpoint, 64 in this job; ..."
absl::Status SameIdentity(const Json& file, const Json& here) {
  std::vector<std::string> differences;
  for (const auto& item : here.items()) {
    const Json& there =
        file.contains(item.key()) ? file.at(item.key()) : Json(nullptr);
    if (there == item.value()) continue;
    differences.push_back(absl::StrCat(item.key(), " is ", Shown(there),
                                       " in the checkpoint, ",
                                       Shown(item.value()), " in this job"));
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(differences, "; "));
}

absl::StatusOr<Progress> ParseProgress(const Json& state) {
  Progress progress;
  Section in("progress", state);
  RETURN_IF_ERROR(in.Whole("step", 0, kAnyUint64, false, &progress.step));
  RETURN_IF_ERROR(in.Whole("epoch", 0, kAnyUint64, false, &progress.epoch));
  RETURN_IF_ERROR(in.Whole("batch", 0, kAnyUint64, false, &progress.batch));
  RETURN_IF_ERROR(in.Real(
      "seconds", [](double x) { return x >= 0; }, "of at least 0",
      &progress.seconds));
  return progress;
}

std::string MetadataOr(const data::SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

// The metadata's state of a whole and undamaged checkpoint.
absl::StatusOr<Json> CheckedState(const data::SafetensorsFile& file) {
  if (MetadataOr(file, "format") != kFormat) {
    return absl::InvalidArgumentError("it is not a Trainyard checkpoint");
  }
  if (MetadataOr(file, "version") != kVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has version \"", MetadataOr(file, "version"),
                     "\"; this runner reads version ", kVersion));
  }
  const std::string text = MetadataOr(file, "state");
  if (Checksum(text, file.tensors()) != MetadataOr(file, "crc32")) {
    return absl::DataLossError("its checksum does not match: it is damaged");
  }
  Json state = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!state.is_object() || !state.contains("identity") ||
      !state["identity"].is_object() || !state.contains("progress") ||
      !state["progress"].is_object()) {
    return absl::DataLossError("its metadata is damaged");
  }
  return state;
}

absl::StatusOr<Progress> Load(const std::string& path, const Json& identity,
                              CheckpointParts* parts) {
  absl::StatusOr<data::SafetensorsFile> opened =
      data::SafetensorsFile::Open(path);
  if (!opened.ok()) return absl::DataLossError(opened.status().message());
  const data::SafetensorsFile file = *std::move(opened);
  ASSIGN_OR_RETURN(const Json state, CheckedState(file));
  RETURN_IF_ERROR(SameIdentity(state["identity"], identity));
  ASSIGN_OR_RETURN(const Progress progress, ParseProgress(state["progress"]));
  torch::NoGradGuard no_grad;
  RETURN_IF_ERROR(RestoreOptimizer(file.tensors(), "optimizer.",
                                   ParameterNames(*parts->model),
                                   parts->optimizer));
  NamedTensors model = StateOf(*parts->model);
  RETURN_IF_ERROR(LoadState(file.tensors(), "model.", Fit::kExact, &model));
  RETURN_IF_ERROR(RestoreGenerators(file.tensors(), parts->device));
  return progress;
}

}  // namespace

Json IdentityOf(const Spec& spec, int64_t num_classes,
                const data::SampleShape& input, uint64_t train_samples) {
  const TrainingOptions& training = spec.training;
  Json identity = {
      {"training.model.architecture", training.model.architecture},
      {"training.model.num_classes", num_classes},
      {"training.data.format", Name(training.data.format)},
      {"training.data.validation_split", training.data.validation_split},
      {"training.data.augment", training.augment},
      {"training.optimizer.kind", Name(training.optimizer.kind)},
      {"training.optimizer.learning_rate", training.optimizer.learning_rate},
      {"training.optimizer.momentum", training.optimizer.momentum},
      {"training.optimizer.weight_decay", training.optimizer.weight_decay},
      {"training.batch_size", training.batch_size},
      {"training.seed", training.seed},
      {"sample shape", {input.channels, input.height, input.width}},
      {"training samples", train_samples}};
  if (training.model.architecture == "mlp") {
    identity["training.model.hidden_sizes"] = training.model.hidden_sizes;
  }
  return identity;
}

absl::Status SaveCheckpoint(const std::string& path, const Json& identity,
                            const Progress& progress,
                            const CheckpointParts& parts) {
  torch::NoGradGuard no_grad;
  TensorFileContent content;
  content.Add("model.", StateOf(*parts.model));
  content.Add("optimizer.",
              OptimizerState(*parts.optimizer, ParameterNames(*parts.model)));
  content.Add("rng.", GeneratorStates(parts.device));
  const std::string state = Json({{"identity", identity},
                                  {"progress",
                                   {{"step", progress.step},
                                    {"epoch", progress.epoch},
                                    {"batch", progress.batch},
                                    {"seconds", progress.seconds}}}})
                                .dump();
  const absl::Status written =
      data::WriteSafetensors(path, content.views(),
                             {{"format", kFormat},
                              {"version", kVersion},
                              {"state", state},
                              {"crc32", Checksum(state, content.views())}});
  if (written.ok()) return written;
  return absl::UnavailableError(
      absl::StrCat("cannot write a checkpoint: ", written.message()));
}

absl::StatusOr<Progress> LoadCheckpoint(const std::string& path,
                                        const Json& identity,
                                        CheckpointParts* parts) {
  absl::StatusOr<Progress> loaded = Load(path, identity, parts);
  if (loaded.ok()) return loaded;
  const std::string message = absl::StrCat("cannot resume from ", path, ": ",
                                           loaded.status().message());
  // What the worker handed over is not the user's fault.
  return loaded.status().code() == absl::StatusCode::kInvalidArgument
             ? absl::InvalidArgumentError(message)
             : absl::UnavailableError(message);
}

std::string CheckpointFolder::PathOf(uint64_t step) const {
  return absl::StrFormat("%s/step-%012d.safetensors", folder_, step);
}

void CheckpointFolder::Keep(const std::string& path) {
  kept_.erase(std::remove(kept_.begin(), kept_.end(), path), kept_.end());
  kept_.push_back(path);
  while (kept_.size() > kCheckpointsKept) {
    unlink(kept_.front().c_str());
    kept_.erase(kept_.begin());
  }
}

}  // namespace trainyard::runner
