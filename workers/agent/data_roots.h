// Which of this machine's files jobs may read.
//
//   ASSIGN_OR_RETURN(DataRoots roots, DataRoots::Make({"/data"}));
//   ASSIGN_OR_RETURN(std::string path, roots.Check("/data/glyphs"));
//
// Immutable, thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace trainyard::agent {

class DataRoots {
 public:
  // INVALID_ARGUMENT: one is not absolute or does not exist.
  static absl::StatusOr<DataRoots> Make(std::vector<std::string> roots);
  // Where no --data-root is given: the user's home folder and the current one,
  // unless that is "/".
  static std::vector<std::string> Default();

  // The path without symbolic links. INVALID_ARGUMENT: not absolute;
  // PERMISSION_DENIED: not in a root; NOT_FOUND.
  absl::StatusOr<std::string> Check(const std::string& path) const;

 private:
  explicit DataRoots(std::vector<std::string> given,
                     std::vector<std::string> real)
      : given_(std::move(given)), real_(std::move(real)) {}

  std::vector<std::string> given_;
  std::vector<std::string> real_;  // without symbolic links
};

}  // namespace trainyard::agent
