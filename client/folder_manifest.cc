#include "client/folder_manifest.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "client/sha256.h"
#include "proto/json/job_json.h"

namespace trainyard::client {
namespace {

constexpr char kMark[] = "trainyard_folder";
constexpr size_t kLongestPath = 4096;

absl::StatusOr<FolderEntry> ParseEntry(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("path") ||
      !json["path"].is_string() || !json.contains("artifact") ||
      !json["artifact"].is_string() || !json.contains("size_bytes") ||
      !json["size_bytes"].is_number_unsigned()) {
    return absl::InvalidArgumentError(
        "must be an object with path, artifact and size_bytes");
  }
  FolderEntry entry{json["path"].get<std::string>(),
                    json["artifact"].get<std::string>(),
                    json["size_bytes"].get<uint64_t>()};
  RETURN_IF_ERROR(CheckRelativePath(entry.path));
  if (!IsArtifactName(entry.artifact)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "artifact \"", absl::CHexEscape(entry.artifact.substr(0, 80)),
        "\": must be \"sha256:\" and 64 hex digits"));
  }
  return entry;
}

}  // namespace

std::string FormatManifest(std::vector<FolderEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const FolderEntry& a, const FolderEntry& b) {
              return a.path < b.path;
            });
  Json files = Json::array();
  for (FolderEntry& entry : entries) {
    files.push_back(Json{{"path", std::move(entry.path)},
                         {"artifact", std::move(entry.artifact)},
                         {"size_bytes", entry.size_bytes}});
  }
  return Json{{kMark, 1}, {"files", std::move(files)}}.dump();
}

bool LooksLikeManifest(absl::string_view first_bytes) {
  // Other writers may put in spaces.
  std::string packed;
  for (const char c : first_bytes) {
    if (!absl::ascii_isspace(static_cast<unsigned char>(c))) packed += c;
  }
  return absl::StartsWith(packed, absl::StrCat("{\"", kMark, "\":1"));
}

absl::Status CheckRelativePath(absl::string_view path) {
  bool good = !path.empty() && path.size() <= kLongestPath;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    good = good && !part.empty() && part != "." && part != "..";
  }
  for (const char c : path) {
    good = good && c != '\\' &&
           !absl::ascii_iscntrl(static_cast<unsigned char>(c));
  }
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("path \"", absl::CHexEscape(path.substr(0, 80)),
                   "\": must be relative, with '/' between its parts and none "
                   "of them empty, . or .."));
}

absl::StatusOr<std::vector<FolderEntry>> ParseManifest(absl::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(
      text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains(kMark) || json[kMark] != 1 ||
      !json.contains("files") || !json["files"].is_array() ||
      json["files"].size() > kMaxFolderFiles) {
    return absl::InvalidArgumentError("is no folder's manifest of version 1");
  }
  std::vector<FolderEntry> entries;
  absl::flat_hash_set<std::string> paths;
  for (size_t i = 0; i < json["files"].size(); ++i) {
    const absl::StatusOr<FolderEntry> entry = ParseEntry(json["files"][i]);
    if (!entry.ok()) {
      return WithContext(entry.status(), absl::StrCat("files[", i, "]"));
    }
    if (!paths.insert(entry->path).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "files[", i, "]: path \"", entry->path, "\" is there twice"));
    }
    entries.push_back(*entry);
  }
  return entries;
}

}  // namespace trainyard::client
