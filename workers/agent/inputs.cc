#include "workers/agent/inputs.h"

#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace trainyard::agent {
namespace {

namespace fs = std::filesystem;

enum class Kind { kFile, kFolder };

absl::Status CheckKind(const std::string& path, Kind kind) {
  std::error_code error;
  if (kind == Kind::kFolder && !fs::is_directory(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", path, "\": must be a folder"));
  }
  if (kind == Kind::kFile && !fs::is_regular_file(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", path, "\": must be a file"));
  }
  return absl::OkStatus();
}

// Where inputs come from, and what keeps them there.
struct Inputs {
  const DataRoots& roots;
  InputCache* cache;
  Cancellation* cancellation;
  std::vector<InputCache::Pin> pins;
};

absl::Status Resolve(Inputs& inputs, Kind kind, v1::Source& source) {
  switch (source.from_case()) {
    case v1::Source::kPath: {
      ASSIGN_OR_RETURN(const std::string path,
                       inputs.roots.Check(source.path()));
      RETURN_IF_ERROR(CheckKind(path, kind));
      source.set_path(path);
      return absl::OkStatus();
    }
    case v1::Source::kArtifact: {
      absl::StatusOr<InputCache::Pin> pin =
          kind == Kind::kFolder
              ? inputs.cache->GetFolder(source.artifact(), inputs.cancellation)
              : inputs.cache->GetFile(source.artifact(), inputs.cancellation);
      RETURN_IF_ERROR(pin.status());
      source.set_path(pin->path());
      inputs.pins.push_back(*std::move(pin));
      return absl::OkStatus();
    }
    default:
      return absl::InvalidArgumentError("must be a path or an artifact");
  }
}

absl::Status ResolveTraining(Inputs& inputs, v1::TrainingSpec& training) {
  RETURN_IF_ERROR(
      WithContext(Resolve(inputs, Kind::kFolder,
                          *training.mutable_data()->mutable_source()),
                  "training.data.source"));
  if (!training.model().has_weights()) return absl::OkStatus();
  return WithContext(Resolve(inputs, Kind::kFile,
                             *training.mutable_model()->mutable_weights()),
                     "training.model.weights");
}

absl::Status ResolveMember(Inputs& inputs, v1::EnsembleMember& member) {
  if (member.has_model()) {
    RETURN_IF_ERROR(
        WithContext(Resolve(inputs, Kind::kFile,
                            *member.mutable_model()->mutable_weights()),
                    "model.weights"));
  }
  if (member.has_torchscript()) {
    RETURN_IF_ERROR(
        WithContext(Resolve(inputs, Kind::kFile, *member.mutable_torchscript()),
                    "torchscript"));
  }
  if (!member.has_config()) return absl::OkStatus();
  return WithContext(Resolve(inputs, Kind::kFile, *member.mutable_config()),
                     "config");
}

absl::Status ResolveEnsemble(Inputs& inputs,
                             v1::EnsembleInferenceSpec& ensemble) {
  RETURN_IF_ERROR(
      WithContext(Resolve(inputs, Kind::kFolder,
                          *ensemble.mutable_data()->mutable_source()),
                  "ensemble.data.source"));
  for (int i = 0; i < ensemble.members_size(); ++i) {
    const absl::Status status =
        ResolveMember(inputs, *ensemble.mutable_members(i));
    if (status.ok()) continue;
    return absl::Status(status.code(), absl::StrCat("ensemble.members[", i,
                                                    "].", status.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<InputCache::Pin>> ResolveInputs(
    const DataRoots& roots, InputCache* cache, Cancellation* cancellation,
    v1::JobSpec& spec) {
  Inputs inputs{roots, cache, cancellation, {}};
  if (spec.has_training()) {
    RETURN_IF_ERROR(ResolveTraining(inputs, *spec.mutable_training()));
  } else if (spec.has_ensemble()) {
    RETURN_IF_ERROR(ResolveEnsemble(inputs, *spec.mutable_ensemble()));
  } else {
    return absl::UnimplementedError(
        "this worker can run training and ensemble jobs; the job is of another "
        "kind");
  }
  return std::move(inputs.pins);
}

Failure FailureOf(const absl::Status& status) {
  Failure failure{.category = FailureCategory::kInfrastructure,
                  .message = std::string(status.message())};
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
      failure.category = FailureCategory::kUserError;
      break;
    default:
      break;
  }
  return failure;
}

}  // namespace trainyard::agent
