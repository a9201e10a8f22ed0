// An ensemble job made ready: its data opened, every member loaded, on its
// device and checked against the data and against the others.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<EnsembleJob> job, PrepareEnsemble(spec));
//
// Not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/member_pool.h"
#include "workers/runner/ensemble/options.h"
#include "workers/runner/images.h"
#include "workers/runner/spec.h"

namespace trainyard::runner {

struct EnsembleJob {
  Spec spec;
  std::vector<torch::Device> devices;
  int threads = 1;  // on the CPU, over all members
  std::unique_ptr<data::Dataset> samples;
  int64_t classes = 0;
  std::vector<std::string> class_names;  // may be fewer than the classes
  // Of each class of the data, the members' class; kNoLabel where they have
  // none of that name.
  std::vector<int64_t> label_of;
  std::vector<PooledMember> members;
  // One per device and normalisation that members need.
  std::vector<std::unique_ptr<ImageFeed>> feeds;

  const EnsembleOptions& options() const { return *spec.ensemble; }
  // "cpu" or "cuda:0,cuda:1".
  std::string DeviceText() const;
  // Of all members.
  uint64_t parameters() const;
  // How the threads of each device are shared out.
  std::vector<std::vector<int>> Shares() const;
};

// Errors name the field, the member or the file. Throws what LibTorch throws.
absl::StatusOr<std::unique_ptr<EnsembleJob>> PrepareEnsemble(const Spec& spec);

// The members' class of each class of the data: that of the same name where
// `members` has names, else the one of the same number. The only class of the
// data is none where members have more and nothing says that it is one of
// theirs: images in one folder are mostly images of all kinds.
// INVALID_ARGUMENT: the data has more classes than the members, and nothing
// names them.
absl::StatusOr<std::vector<int64_t>> MatchClasses(
    absl::Span<const std::string> data, absl::Span<const std::string> members,
    int64_t classes);

}  // namespace trainyard::runner
