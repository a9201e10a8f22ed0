// Reads one blob of file_blobs from its file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/adapters/file.h"
#include "server/engine/blobs.h"

namespace trainyard::adapters {

// Checks the hash where it reads from byte 0 to the end, and calls `damaged` if
// it is wrong. OUT_OF_RANGE: `offset` is beyond the end.
absl::StatusOr<std::unique_ptr<engine::BlobReader>> OpenBlobReader(
    const std::string& name, const std::string& hex, File file, uint64_t offset,
    std::function<void()> damaged);

}  // namespace trainyard::adapters
