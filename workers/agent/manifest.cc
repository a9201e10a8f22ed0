#include "workers/agent/manifest.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/agent/sha256.h"
#include "workers/agent/text.h"

namespace trainyard::agent {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxPathBytes = 4096;

absl::Status Wrong(absl::string_view what, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("folder manifest: ", what, ": must be ", wanted));
}

absl::StatusOr<ManifestFile> ParseFile(const Json& json) {
  ManifestFile file;
  if (!json.is_object()) return Wrong("files", "a list of objects");
  const auto path = json.find("path");
  const auto artifact = json.find("artifact");
  const auto size = json.find("size_bytes");
  if (path == json.end() || !path->is_string()) {
    return Wrong("files[].path", "a string");
  }
  file.path = path->get<std::string>();
  RETURN_IF_ERROR(WithContext(CheckRelativePath(file.path),
                              "folder manifest: files[].path"));
  if (artifact == json.end() || !artifact->is_string()) {
    return Wrong(file.path + ": artifact", "a string");
  }
  file.artifact = artifact->get<std::string>();
  RETURN_IF_ERROR(ArtifactDigits(file.artifact).status());
  if (size == json.end() || !size->is_number_unsigned()) {
    return Wrong(file.path + ": size_bytes", "a whole number");
  }
  file.size_bytes = size->get<uint64_t>();
  return file;
}

}  // namespace

absl::Status CheckRelativePath(absl::string_view path) {
  const auto wrong = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", BoundedUtf8(path.substr(0, 300), 200), "\" ", why));
  };
  if (path.empty() || path.size() > kMaxPathBytes) {
    return wrong("must be 1 to 4,096 bytes long");
  }
  if (path.find('\0') != absl::string_view::npos) {
    return wrong("must not hold a zero byte");
  }
  if (path[0] == '/') return wrong("must be relative");
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return wrong("must not have \"..\", \".\" or an empty part");
    }
  }
  return absl::OkStatus();
}

bool LooksLikeManifest(absl::string_view head) {
  return absl::StartsWith(absl::StripLeadingAsciiWhitespace(head), "{") &&
         absl::StrContains(head, "\"trainyard_folder\"");
}

absl::StatusOr<std::vector<ManifestFile>> ParseManifest(
    absl::string_view text) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!json.is_object()) return Wrong("the whole", "a JSON object");
  const auto version = json.find("trainyard_folder");
  if (version == json.end() || *version != 1) {
    return Wrong("trainyard_folder", "1");
  }
  const auto list = json.find("files");
  if (list == json.end() || !list->is_array()) return Wrong("files", "a list");
  if (list->size() > kMaxManifestFiles) {
    return Wrong(absl::StrCat("files: ", list->size()), "at most 1,000,000");
  }
  std::vector<ManifestFile> files;
  files.reserve(list->size());
  for (const Json& entry : *list) {
    ASSIGN_OR_RETURN(ManifestFile file, ParseFile(entry));
    files.push_back(std::move(file));
  }
  return files;
}

std::string FormatManifest(std::vector<ManifestFile> files) {
  std::sort(files.begin(), files.end(),
            [](const ManifestFile& a, const ManifestFile& b) {
              return a.path < b.path;
            });
  nlohmann::ordered_json json;
  json["trainyard_folder"] = 1;
  json["files"] = nlohmann::ordered_json::array();
  for (const ManifestFile& file : files) {
    nlohmann::ordered_json entry;
    entry["path"] = file.path;
    entry["artifact"] = file.artifact;
    entry["size_bytes"] = file.size_bytes;
    json["files"].push_back(std::move(entry));
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace trainyard::agent
