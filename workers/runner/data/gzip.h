// A plain or gzip-compressed file as a stream of bytes with a known plain
// bound.
//
//   ASSIGN_OR_RETURN(GzipFile file, GzipFile::Open("/data/images.gz"));
//   RETURN_IF_ERROR(file.Read(header, 16));
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct gzFile_s;

namespace trainyard::data {

// Inflates as it is read, never ahead of what was asked for by more than a
// small buffer. Movable; not thread-safe.
class GzipFile {
 public:
  // DATA_LOSS when the file does not begin as gzip does.
  static absl::StatusOr<GzipFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  // No more plain bytes than this can be in the file (deflate's best ratio is
  // 1032:1).
  uint64_t max_plain_bytes() const { return max_plain_bytes_; }
  // Plain bytes read so far.
  uint64_t position() const { return position_; }
  // True once reading has met the end of the file inside the compressed data or
  // before its checksum.
  bool cut_off() const { return cut_off_; }
  // Reads up to `size` bytes; fewer only at the end of the data. DATA_LOSS:
  // corrupt (a wrong checksum too).
  absl::StatusOr<uint64_t> ReadSome(void* to, uint64_t size);

 private:
  struct Closer {
    void operator()(gzFile_s* file) const;
  };
  GzipFile() = default;

  std::string path_;
  std::unique_ptr<gzFile_s, Closer> file_;
  uint64_t max_plain_bytes_ = 0;
  uint64_t position_ = 0;
  bool cut_off_ = false;
};

}  // namespace trainyard::data
