// Artifact names: "sha256:" and the SHA-256 of the bytes in 64 lower-case hex
// digits.
//
//   Sha256 hash;
//   hash.Update(bytes);
//   std::string name = hash.Name();
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::client {

// Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void Update(absl::string_view bytes);
  // Ends it; call once.
  std::string Name();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

struct FileHash {
  std::string name;
  uint64_t size_bytes = 0;
};

// Reads the whole file. NOT_FOUND and
// INVALID_ARGUMENT (no regular file) name the path.
absl::StatusOr<FileHash> HashFile(const std::string& path);

bool IsArtifactName(absl::string_view text);

}  // namespace trainyard::client
