// A folder in the artifact store: a blob that lists its files
// (artifact_service.proto). Pure.
//
//   ASSIGN_OR_RETURN(auto files, ParseManifest(text));
//   std::string text = FormatManifest(files);
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::agent {

inline constexpr uint64_t kMaxManifestBytes = 256 * 1024 * 1024;
inline constexpr size_t kMaxManifestFiles = 1'000'000;

struct ManifestFile {
  std::string path;      // relative, '/' between its parts, no ".."
  std::string artifact;  // "sha256:…"
  uint64_t size_bytes = 0;
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

// OK: relative, stays below the folder it is taken from.
absl::Status CheckRelativePath(absl::string_view path);

// Whether a blob that begins so could be a manifest.
bool LooksLikeManifest(absl::string_view head);

// INVALID_ARGUMENT names the file and what is wrong with it.
absl::StatusOr<std::vector<ManifestFile>> ParseManifest(absl::string_view text);

// Sorts by path.
std::string FormatManifest(std::vector<ManifestFile> files);

}  // namespace trainyard::agent
