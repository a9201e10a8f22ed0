// What control groups let this process use.
//
//   CgroupLimits limits = ReadCgroupLimits("");
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace trainyard::agent {

// 0: no limit.
struct CgroupLimits {
  double cores = 0;
  // That the group with that limit has used; unset: no limit, or not told.
  std::optional<absl::Duration> cpu_time;
  uint64_t memory_bytes = 0;
  uint64_t memory_used_bytes = 0;  // of memory_bytes, caches not counted
};
// Reads version 2, and version 1 where 2 is not mounted. `root` is where /proc
// and /sys are looked for; tests give their own.
CgroupLimits ReadCgroupLimits(const std::string& root);

}  // namespace trainyard::agent
