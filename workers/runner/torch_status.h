// Where LibTorch's exceptions end: everything thrown inside becomes a Status,
// once, at the runner's edge.
//
//   absl::Status done = CatchTorch([&] { return trainer.Run(); });
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trainyard::runner {

// The exception being handled. RESOURCE_EXHAUSTED: memory of any device;
// INTERNAL: everything else. The message is the exception's first line.
absl::Status StatusOfCurrentException();

// `work` returns a Status or a StatusOr.
template <typename Work>
auto CatchTorch(Work&& work) -> decltype(work()) {
  try {
    return std::forward<Work>(work)();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

}  // namespace trainyard::runner
