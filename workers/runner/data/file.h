// Whole files in and out, with bounds and with durability.
//
//   ASSIGN_OR_RETURN(std::string text, ReadWholeFile("model.json", 1 << 20));
//   RETURN_IF_ERROR(WriteFileAtomically("model.json", text));
//
// Stateless; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace trainyard::data {

// A descriptor opened for reading; closes itself. Movable.
class InputFile {
 public:
  // Opens a regular file; NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT (a
  // folder, a pipe) name the path. Never waits on a pipe. follow_links: whether
  // the last part of the path may be a symbolic link.
  static absl::StatusOr<InputFile> Open(const std::string& path,
                                        bool follow_links = true);

  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;
  ~InputFile();

  int descriptor() const { return descriptor_; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Gives the descriptor away.
  int Release();
  // Exactly `size` bytes at `offset`; DATA_LOSS when the file is shorter.
  absl::Status ReadAt(uint64_t offset, void* to, uint64_t size) const;

 private:
  InputFile(std::string path, int descriptor, uint64_t size);

  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The content; INVALID_ARGUMENT when it is longer than max_bytes.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          uint64_t max_bytes);

enum class EntryKind { kFile, kFolder, kLink, kOther };

struct FolderEntry {
  std::string name;
  EntryKind kind = EntryKind::kOther;
};

// What is in a folder, sorted by the names' bytes, "." and ".." left out.
absl::StatusOr<std::vector<FolderEntry>> ListFolder(const std::string& path);

// Writes a temporary beside `path`, fsyncs it, renames it over `path`, fsyncs
// the folder: readers see the old content or the whole new one, also after a
// crash.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content);
// The same for content in pieces.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> pieces);

// A status for errno `error`: "cannot open /data/x: No such file or directory".
absl::Status ErrnoStatus(int error, absl::string_view what);

// `text` with everything replaced that is not UTF-8 or is a control character,
// so that names from outside can go into JSON and onto terminals.
std::string CleanUtf8(absl::string_view text);

}  // namespace trainyard::data
