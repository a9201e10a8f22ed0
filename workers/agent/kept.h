// What a worker could not hand over before it left, on disk: the next process
// in its folder goes on under its name and instance until the server has it
// all.
//
//   RETURN_IF_ERROR(WriteKept(work_dir.kept_file(), kept));
//   ASSIGN_OR_RETURN(std::optional<Kept> kept, ReadKept(file));
//
// Functions only; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/agent/types.h"

namespace trainyard::agent {

struct Kept {
  std::string worker;    // its name
  std::string instance;  // of the process that held the attempts
  std::vector<KeptAttempt> attempts;
  friend bool operator==(const Kept&, const Kept&) = default;
};

// Whole and on disk when it returns.
absl::Status WriteKept(const std::string& path, const Kept& kept);
// nullopt: there is none. INVALID_ARGUMENT: it is damaged.
absl::StatusOr<std::optional<Kept>> ReadKept(const std::string& path);

// Flushes all files and folders below a path to the device. Links are not
// followed.
absl::Status SyncTree(const std::string& path);

}  // namespace trainyard::agent
