// What the submitter calls the files that lie in a worker's cache by their
// hash: by the field of the job that asked for them.
//
//   const v1::JobSpec asked = spec;
//   … ResolveInputs(roots, &cache, &cancel, spec) …
//   InputNames names(cache_folder, asked, spec);
//   names.In("cannot read …/cache/folders/9f86…/train.bin");
//       → "cannot read training.data.source/train.bin"
//
// Immutable.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::agent {

class InputNames {
 public:
  InputNames() = default;  // no inputs
  // The spec as it was asked for, and with paths of this machine.
  InputNames(std::string cache_folder, const v1::JobSpec& asked,
             const v1::JobSpec& resolved);

  // The text with fields in the place of paths.
  std::string In(absl::string_view text) const;

 private:
  void Add(std::string field, const v1::Source& asked,
           const v1::Source& resolved);

  std::string cache_folder_;
  std::vector<std::pair<std::string, std::string>> names_;  // path, field
};

}  // namespace trainyard::agent
