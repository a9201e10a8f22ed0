// How long the disk takes to make a small write durable: what every durable
// submit waits for, alone or with others.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace trainyard::bench {

// Median of 200 appends of 4 KiB, each with fdatasync, to a file in `folder`
// that is removed. FAILED_PRECONDITION where the folder is in memory: fsync
// does nothing there.
absl::StatusOr<absl::Duration> MedianFsync(const std::string& folder);

}  // namespace trainyard::bench
