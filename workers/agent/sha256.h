// SHA-256, and the names of artifacts that are made of it.
//
//   Sha256 hash;  hash.Update(bytes);  std::string hex = hash.Finish();
//
// Not thread-safe.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::agent {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::string_view bytes);
  // 64 lower-case hex digits. Once.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Of a file from its start to its end as of now.
absl::StatusOr<std::string> Sha256OfFile(int fd);

// The digits of "sha256:…". INVALID_ARGUMENT where it is malformed.
absl::StatusOr<std::string> ArtifactDigits(absl::string_view artifact);

}  // namespace trainyard::agent
