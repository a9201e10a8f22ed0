#include "server/rpc/validate_training.h"

#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "proto/json/names.h"
#include "server/rpc/names.h"
#include "server/rpc/validate_field.h"

namespace trainyard::rpc {
namespace {

constexpr size_t kMaxPathBytes = 4096;
constexpr size_t kMaxHiddenLayers = 16;

// workers/runner/models/registry.cc has the networks themselves.
const char* const kArchitectures[] = {"mlp", "mnist_cnn", "resnet18"};

absl::Status CheckSource(absl::string_view path, const v1::Source& source) {
  RETURN_IF_ERROR(CheckKnown(path, source));
  switch (source.from_case()) {
    case v1::Source::kPath:
      if (absl::StartsWith(source.path(), "/") &&
          source.path().size() <= kMaxPathBytes &&
          !HasControlCharacters(source.path())) {
        return absl::OkStatus();
      }
      return WrongValue(absl::StrCat(path, ".path"), Quoted(source.path()),
                        "an absolute path on the worker's machine, at most "
                        "4,096 bytes");
    case v1::Source::kArtifact:
      if (IsArtifactName(source.artifact())) return absl::OkStatus();
      return WrongValue(absl::StrCat(path, ".artifact"),
                        Quoted(source.artifact()),
                        "\"sha256:\" and 64 lower-case hex digits");
    case v1::Source::kUpload:
      return BadField(
          absl::StrCat(path, ".upload"),
          absl::StrCat(Quoted(source.upload()),
                       ": a server cannot read it: clients upload it and put "
                       "the artifact in its place, as trainctl submit does"));
    case v1::Source::FROM_NOT_SET:
      break;
  }
  return NotSet(path, "a path or an artifact");
}

absl::Status CheckArchitecture(const std::string& architecture) {
  for (const char* known : kArchitectures) {
    if (architecture == known) return absl::OkStatus();
  }
  const std::vector<std::string> known(std::begin(kArchitectures),
                                       std::end(kArchitectures));
  std::string want = absl::StrCat("one of ", absl::StrJoin(known, ", "));
  if (architecture.empty()) return NotSet("training.model.architecture", want);
  const std::string nearest = NearestName(architecture, known);
  if (!nearest.empty()) {
    absl::StrAppend(&want, "; did you mean ", Quoted(nearest), "?");
  }
  return WrongValue("training.model.architecture", Quoted(architecture), want);
}

absl::Status CheckHiddenSizes(v1::ModelSpec* model) {
  constexpr absl::string_view kPath = "training.model.hidden_sizes";
  const bool mlp = model->architecture() == "mlp";
  if (!mlp && !model->hidden_sizes().empty()) {
    return BadField(
        kPath, absl::StrCat("only mlp has them, not ", model->architecture(),
                            ": leave them out"));
  }
  RETURN_IF_ERROR(CheckCount(kPath,
                             static_cast<size_t>(model->hidden_sizes_size()),
                             kMaxHiddenLayers));
  for (int i = 0; i < model->hidden_sizes_size(); ++i) {
    const uint32_t size = model->hidden_sizes(i);
    if (size >= 1 && size <= 65'536) continue;
    return CheckWhole(absl::StrCat(kPath, "[", i, "]"), size, 1, 65'536);
  }
  if (mlp && model->hidden_sizes().empty()) model->add_hidden_sizes(128);
  return absl::OkStatus();
}

absl::Status CheckModel(v1::ModelSpec* model) {
  RETURN_IF_ERROR(CheckKnown("training.model", *model));
  RETURN_IF_ERROR(CheckArchitecture(model->architecture()));
  if (model->num_classes() != 0) {
    RETURN_IF_ERROR(CheckWhole("training.model.num_classes",
                               model->num_classes(), 2, 100'000));
  }
  RETURN_IF_ERROR(CheckHiddenSizes(model));
  if (!model->has_weights()) return absl::OkStatus();
  return CheckSource("training.model.weights", model->weights());
}

template <typename Enum>
std::string OneOf() {
  return absl::StrCat(
      "one of ",
      absl::StrJoin(
          ShortEnumNames(*google::protobuf::GetEnumDescriptor<Enum>()), ", "));
}

absl::Status CheckData(v1::DataSpec* data) {
  RETURN_IF_ERROR(CheckKnown("training.data", *data));
  if (data->format() == v1::DataSpec::FORMAT_UNSPECIFIED) {
    return NotSet("training.data.format", OneOf<v1::DataSpec::Format>());
  }
  if (!v1::DataSpec::Format_IsValid(data->format())) {
    return WrongValue("training.data.format",
                      absl::StrCat(static_cast<int>(data->format())),
                      OneOf<v1::DataSpec::Format>());
  }
  RETURN_IF_ERROR(CheckSource("training.data.source", data->source()));
  RETURN_IF_ERROR(CheckReal("training.data.validation_split",
                            data->validation_split(), 0, 0.9));
  if (data->image_size() != 0) {
    return CheckWhole("training.data.image_size", data->image_size(), 8, 4096);
  }
  if (data->format() == v1::DataSpec::FORMAT_IMAGE_FOLDER) {
    data->set_image_size(224);
  }
  return absl::OkStatus();
}

// What is certain without a look at the data; the runner checks the rest.
absl::Status CheckFit(const v1::ModelSpec& model, const v1::DataSpec& data) {
  uint32_t classes = 0;
  if (data.format() == v1::DataSpec::FORMAT_CIFAR10) classes = 10;
  if (data.format() == v1::DataSpec::FORMAT_CIFAR100) classes = 100;
  if (classes == 0) return absl::OkStatus();
  if (model.architecture() == "mnist_cnn") {
    return BadField("training.model.architecture",
                    "\"mnist_cnn\" takes images of 1x28x28, but those of "
                    "CIFAR are 3x32x32: take resnet18 or mlp, or data in the "
                    "idx format");
  }
  if (model.num_classes() == 0 || model.num_classes() >= classes) {
    return absl::OkStatus();
  }
  return WrongValue("training.model.num_classes",
                    absl::StrCat(model.num_classes()),
                    absl::StrCat("at least ", classes,
                                 ", which is what the data has, or left out"));
}

absl::Status CheckRates(v1::OptimizerSpec* optimizer) {
  const bool sgd = optimizer->kind() == v1::OptimizerSpec::KIND_SGD;
  const double rate = optimizer->learning_rate();
  if (!(rate >= 0 && rate <= 1000)) {
    return WrongValue("training.optimizer.learning_rate", absl::StrCat(rate),
                      "above 0, at most 1,000");
  }
  if (rate == 0) optimizer->set_learning_rate(sgd ? 0.01 : 0.001);
  const double momentum = optimizer->momentum();
  if (!(momentum >= 0 && momentum < 1)) {
    return WrongValue("training.optimizer.momentum", absl::StrCat(momentum),
                      "at least 0 and below 1");
  }
  if (sgd || momentum == 0) return absl::OkStatus();
  return BadField("training.optimizer.momentum",
                  absl::StrCat(momentum, ": only sgd has it: leave it out"));
}

absl::Status CheckOptimizer(v1::OptimizerSpec* optimizer) {
  RETURN_IF_ERROR(CheckKnown("training.optimizer", *optimizer));
  if (!v1::OptimizerSpec::Kind_IsValid(optimizer->kind())) {
    return WrongValue("training.optimizer.kind",
                      absl::StrCat(static_cast<int>(optimizer->kind())),
                      OneOf<v1::OptimizerSpec::Kind>());
  }
  if (optimizer->kind() == v1::OptimizerSpec::KIND_UNSPECIFIED) {
    optimizer->set_kind(v1::OptimizerSpec::KIND_SGD);
  }
  RETURN_IF_ERROR(CheckRates(optimizer));
  if (!optimizer->has_weight_decay()) {
    const bool adamw = optimizer->kind() == v1::OptimizerSpec::KIND_ADAMW;
    optimizer->set_weight_decay(adamw ? 0.01 : 0);
  }
  return CheckReal("training.optimizer.weight_decay", optimizer->weight_decay(),
                   0, 1);
}

absl::Status CheckCheckpoint(v1::CheckpointSpec* checkpoint) {
  RETURN_IF_ERROR(CheckKnown("training.checkpoint", *checkpoint));
  if (!checkpoint->has_every_seconds()) checkpoint->set_every_seconds(60);
  const double seconds = checkpoint->every_seconds();
  if (seconds >= 0 && seconds <= std::numeric_limits<double>::max()) {
    return absl::OkStatus();
  }
  return WrongValue("training.checkpoint.every_seconds", absl::StrCat(seconds),
                    "at least 0");
}

}  // namespace

absl::Status ValidateAndComplete(v1::TrainingSpec* training) {
  RETURN_IF_ERROR(CheckKnown("training", *training));
  if (!training->has_model()) {
    return NotSet("training.model", "there: the network to train");
  }
  if (!training->has_data()) {
    return NotSet("training.data", "there: the samples to train on");
  }
  RETURN_IF_ERROR(CheckModel(training->mutable_model()));
  RETURN_IF_ERROR(CheckData(training->mutable_data()));
  RETURN_IF_ERROR(CheckFit(training->model(), training->data()));
  RETURN_IF_ERROR(CheckOptimizer(training->mutable_optimizer()));
  RETURN_IF_ERROR(CheckCheckpoint(training->mutable_checkpoint()));
  if (training->epochs() == 0) training->set_epochs(1);
  RETURN_IF_ERROR(
      CheckWhole("training.epochs", training->epochs(), 1, 1'000'000));
  if (training->batch_size() == 0) training->set_batch_size(64);
  RETURN_IF_ERROR(
      CheckWhole("training.batch_size", training->batch_size(), 1, 1'000'000));
  return CheckWhole("training.threads", training->threads(), 0, 1024);
}

}  // namespace trainyard::rpc
