// The manifest that makes a folder one artifact (artifact_service.proto).
//
//   {"trainyard_folder":1,"files":[{"path":"a/b.png","artifact":"sha256:…",
//    "size_bytes":17}]}
//
// Pure: no file is touched.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::client {

constexpr size_t kMaxFolderFiles = 1000000;
constexpr uint64_t kMaxManifestBytes = 256 << 20;

struct FolderEntry {
  std::string path;  // relative, '/'-separated
  std::string artifact;
  uint64_t size_bytes = 0;
  friend bool operator==(const FolderEntry&, const FolderEntry&) = default;
};

// Sorted by path: the same files give the same artifact.
std::string FormatManifest(std::vector<FolderEntry> entries);

// By its first 64 bytes: the mark is the first member.
bool LooksLikeManifest(absl::string_view first_bytes);

// INVALID_ARGUMENT says which entry is wrong: a path that is absolute, leaves
// the folder or comes twice, a name that is no artifact's.
absl::StatusOr<std::vector<FolderEntry>> ParseManifest(absl::string_view text);

// Safe to create below a folder: relative, no empty, "." or ".." part, no
// backslash, no control character, at most 4,096 bytes.
absl::Status CheckRelativePath(absl::string_view path);

}  // namespace trainyard::client
