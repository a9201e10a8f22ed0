#include "server/rpc/validate_model.h"

#include <iterator>
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

absl::Status CheckArchitecture(const std::string& architecture) {
  for (const char* known : kArchitectures) {
    if (architecture == known) return absl::OkStatus();
  }
  const std::vector<std::string> known(std::begin(kArchitectures),
                                       std::end(kArchitectures));
  std::string want = absl::StrCat("one of ", absl::StrJoin(known, ", "));
  if (architecture.empty()) return NotSet("architecture", want);
  const std::string nearest = NearestName(architecture, known);
  if (!nearest.empty()) {
    absl::StrAppend(&want, "; did you mean ", Quoted(nearest), "?");
  }
  return WrongValue("architecture", Quoted(architecture), want);
}

absl::Status CheckHiddenSizes(v1::ModelSpec* model) {
  constexpr absl::string_view kPath = "hidden_sizes";
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

}  // namespace

absl::Status CheckSource(const v1::Source& source) {
  RETURN_IF_ERROR(CheckKnown("", source));
  switch (source.from_case()) {
    case v1::Source::kPath:
      if (absl::StartsWith(source.path(), "/") &&
          source.path().size() <= kMaxPathBytes &&
          !HasControlCharacters(source.path())) {
        return absl::OkStatus();
      }
      return WrongValue("path", Quoted(source.path()),
                        "an absolute path on the worker's machine, at most "
                        "4,096 bytes");
    case v1::Source::kArtifact:
      if (IsArtifactName(source.artifact())) return absl::OkStatus();
      return WrongValue("artifact", Quoted(source.artifact()),
                        "\"sha256:\" and 64 lower-case hex digits");
    case v1::Source::kUpload:  // a dry run takes it: ResolveInputs decides
      return absl::OkStatus();
    case v1::Source::FROM_NOT_SET:
      break;
  }
  return NotSet("", "a path or an artifact");
}

absl::Status CheckModel(v1::ModelSpec* model) {
  RETURN_IF_ERROR(CheckKnown("", *model));
  RETURN_IF_ERROR(CheckArchitecture(model->architecture()));
  if (model->num_classes() != 0) {
    RETURN_IF_ERROR(
        CheckWhole("num_classes", model->num_classes(), 2, 100'000));
  }
  RETURN_IF_ERROR(CheckHiddenSizes(model));
  if (!model->has_weights()) return absl::OkStatus();
  return Below("weights", CheckSource(model->weights()));
}

absl::Status CheckData(v1::DataSpec* data) {
  RETURN_IF_ERROR(CheckKnown("", *data));
  if (data->format() == v1::DataSpec::FORMAT_UNSPECIFIED) {
    return NotSet("format", OneOf<v1::DataSpec::Format>());
  }
  if (!v1::DataSpec::Format_IsValid(data->format())) {
    return WrongValue("format", absl::StrCat(static_cast<int>(data->format())),
                      OneOf<v1::DataSpec::Format>());
  }
  RETURN_IF_ERROR(Below("source", CheckSource(data->source())));
  RETURN_IF_ERROR(
      CheckReal("validation_split", data->validation_split(), 0, 0.9));
  if (data->image_size() != 0) {
    return CheckWhole("image_size", data->image_size(), 8, 4096);
  }
  if (data->format() == v1::DataSpec::FORMAT_IMAGE_FOLDER) {
    data->set_image_size(224);
  }
  return absl::OkStatus();
}

absl::Status CheckFit(const v1::ModelSpec& model, const v1::DataSpec& data) {
  uint32_t classes = 0;
  if (data.format() == v1::DataSpec::FORMAT_CIFAR10) classes = 10;
  if (data.format() == v1::DataSpec::FORMAT_CIFAR100) classes = 100;
  if (classes == 0) return absl::OkStatus();
  if (model.architecture() == "mnist_cnn") {
    return BadField("architecture",
                    "\"mnist_cnn\" takes images of 1x28x28, but those of "
                    "CIFAR are 3x32x32: take resnet18 or mlp, or data in the "
                    "idx format");
  }
  if (model.num_classes() == 0 || model.num_classes() >= classes) {
    return absl::OkStatus();
  }
  return WrongValue("num_classes", absl::StrCat(model.num_classes()),
                    absl::StrCat("at least ", classes,
                                 ", which is what the data has, or left out"));
}

}  // namespace trainyard::rpc
