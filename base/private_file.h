// Files that only their owner may read: keys and tokens.
//
//   RETURN_IF_ERROR(WritePrivateFile("admin.token", text));
//
// Functions only; thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard {

// The file is whole or as it was before, with mode 0600, and on disk when this
// returns. ALREADY_EXISTS where it is there and `replace` is false.
absl::Status WritePrivateFile(const std::string& path, absl::string_view text,
                              bool replace = false);

// NOT_FOUND; INVALID_ARGUMENT: it is larger than `limit` bytes.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path,
                                          size_t limit);

// Makes a folder, and its parents, that only its owner may enter; one that is
// there stays as it is.
absl::Status MakePrivateFolder(const std::string& path);

}  // namespace trainyard
