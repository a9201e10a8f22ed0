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

absl::Status Resolve(const DataRoots& roots, InputCache* cache,
                     Cancellation* cancellation, Kind kind, v1::Source& source,
                     std::vector<InputCache::Pin>& pins) {
  switch (source.from_case()) {
    case v1::Source::kPath: {
      ASSIGN_OR_RETURN(const std::string path, roots.Check(source.path()));
      RETURN_IF_ERROR(CheckKind(path, kind));
      source.set_path(path);
      return absl::OkStatus();
    }
    case v1::Source::kArtifact: {
      absl::StatusOr<InputCache::Pin> pin =
          kind == Kind::kFolder
              ? cache->GetFolder(source.artifact(), cancellation)
              : cache->GetFile(source.artifact(), cancellation);
      RETURN_IF_ERROR(pin.status());
      source.set_path(pin->path());
      pins.push_back(*std::move(pin));
      return absl::OkStatus();
    }
    default:
      return absl::InvalidArgumentError("must be a path or an artifact");
  }
}

}  // namespace

absl::StatusOr<std::vector<InputCache::Pin>> ResolveInputs(
    const DataRoots& roots, InputCache* cache, Cancellation* cancellation,
    v1::TrainingSpec& training) {
  std::vector<InputCache::Pin> pins;
  RETURN_IF_ERROR(
      WithContext(Resolve(roots, cache, cancellation, Kind::kFolder,
                          *training.mutable_data()->mutable_source(), pins),
                  "training.data.source"));
  if (training.model().has_weights()) {
    RETURN_IF_ERROR(
        WithContext(Resolve(roots, cache, cancellation, Kind::kFile,
                            *training.mutable_model()->mutable_weights(), pins),
                    "training.model.weights"));
  }
  return pins;
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
