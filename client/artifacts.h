// Files and folders to and from the server's artifact store. Blobs are named
// by their SHA-256, so what is there is not sent again, what breaks goes on
// where it was, and what arrives is what was asked for.
//
//   ASSIGN_OR_RETURN(StoredPath stored, UploadPath(client, "./glyphs", {}));
//   RETURN_IF_ERROR(DownloadPath(client, stored.artifact, "copy",
//   {}).status());
//
// Calls block until done; a transfer that makes no progress over
// RetryPolicy.max_attempts tries returns its last error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cancel.h"
#include "client/client.h"

namespace trainyard::client {

struct TransferOptions {
  CancelToken* cancel = nullptr;
  // Bytes so far and in all, as far as known. Called on several threads, one
  // at a time.
  std::function<void(uint64_t done, uint64_t total)> progress;
  int parallel = 4;  // files of a folder at a time
  // Downloads: put in the place of files with other bytes.
  bool overwrite = true;
};

// A file or folder as one artifact.
struct StoredPath {
  std::string artifact;
  uint64_t size_bytes = 0;  // of all files
  uint64_t files = 1;
  bool folder = false;
  // Uploads: something had to be sent; false: the server had all of it.
  bool sent = false;
};

// Folders with everything below them; a link to a file counts as the file,
// links to folders and special files are refused, and so is an empty folder.
absl::StatusOr<StoredPath> UploadPath(Client& client, const std::string& path,
                                      const TransferOptions& options);

// What UploadPath would store, without a server.
absl::StatusOr<StoredPath> DescribePath(const std::string& path);

// OK where nothing is at `path` or a file with the artifact's bytes.
// ALREADY_EXISTS names the path.
absl::Status CheckNotInTheWay(const std::string& path,
                              const std::string& artifact);

// Writes the blob to `path`, or the folder's files below it. What has the right
// bytes already stays; files appear whole (temp, fsync, rename).
// Without options.overwrite ALREADY_EXISTS before any file is written.
absl::StatusOr<StoredPath> DownloadPath(Client& client,
                                        const std::string& artifact,
                                        const std::string& path,
                                        const TransferOptions& options);

}  // namespace trainyard::client
