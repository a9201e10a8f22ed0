#include "workers/runner/data/gzip.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"

namespace trainyard::data {
namespace {

constexpr uint64_t kBestRatio = 1032;
constexpr unsigned kBufferBytes = 256 * 1024;
constexpr uint64_t kMaxRead = uint64_t{1} << 30;  // gzread counts with int

}  // namespace

void GzipFile::Closer::operator()(gzFile_s* file) const { gzclose_r(file); }

absl::StatusOr<GzipFile> GzipFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(InputFile input, InputFile::Open(path));
  // zlib passes other files through as they are; a .gz that is none is a
  // mistake.
  unsigned char magic[2] = {};
  RETURN_IF_ERROR(input.ReadAt(0, magic, sizeof(magic)));
  if (magic[0] != 0x1F || magic[1] != 0x8B) {
    return absl::DataLossError(absl::StrCat(
        path, " is not a gzip file: it must begin with the bytes 1f 8b"));
  }
  GzipFile file;
  file.path_ = path;
  file.max_plain_bytes_ = input.size() * kBestRatio;
  const int descriptor = input.Release();
  file.file_.reset(gzdopen(descriptor, "rb"));
  if (file.file_ == nullptr) {
    ::close(descriptor);
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory to inflate ", path));
  }
  gzbuffer(file.file_.get(), kBufferBytes);
  return file;
}

absl::StatusOr<uint64_t> GzipFile::ReadSome(void* to, uint64_t size) {
  uint64_t done = 0;
  while (done < size) {
    const int count =
        gzread(file_.get(), static_cast<char*>(to) + done,
               static_cast<unsigned>(std::min(size - done, kMaxRead)));
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    if (count < 0 ||
        (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)) {
      return absl::DataLossError(absl::StrCat(path_, " is corrupt: ", message));
    }
    if (code == Z_BUF_ERROR) cut_off_ = true;
    if (count == 0) break;
    done += static_cast<uint64_t>(count);
    position_ += static_cast<uint64_t>(count);
    if (cut_off_) break;
  }
  return done;
}

}  // namespace trainyard::data
