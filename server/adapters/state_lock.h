// Keeps a second server off a state folder.
//
//   ASSIGN_OR_RETURN(StateLock lock, StateLock::Take("/var/lib/trainyard"));
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace trainyard::adapters {

// Held until destroyed; the system lets go of it when the process ends.
class StateLock {
 public:
  // FAILED_PRECONDITION names the folder and the process that has it.
  static absl::StatusOr<StateLock> Take(const std::string& folder);
  StateLock(StateLock&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  StateLock& operator=(StateLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~StateLock();

 private:
  explicit StateLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace trainyard::adapters
