#include "examples/glyphs/idx_writer.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace trainyard::glyphs {
namespace {

constexpr uint8_t kUnsignedByte = 8;

std::vector<uint8_t> Header(const std::vector<uint32_t>& dimensions) {
  std::vector<uint8_t> header = {0, 0, kUnsignedByte,
                                 static_cast<uint8_t>(dimensions.size())};
  for (const uint32_t dimension : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      header.push_back(static_cast<uint8_t>(dimension >> shift));
    }
  }
  return header;
}

absl::Status WriteFailed(const std::string& path) {
  return absl::ErrnoToStatus(errno != 0 ? errno : EIO,
                             absl::StrCat("cannot write ", path));
}

absl::Status WritePlain(const std::string& path,
                        const std::vector<uint8_t>& header,
                        const std::vector<uint8_t>& values) {
  errno = 0;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return WriteFailed(path);
  bool ok = std::fwrite(header.data(), 1, header.size(), file) == header.size();
  ok =
      ok && std::fwrite(values.data(), 1, values.size(), file) == values.size();
  ok = (std::fclose(file) == 0) && ok;
  return ok ? absl::OkStatus() : WriteFailed(path);
}

absl::Status WriteGzip(const std::string& path,
                       const std::vector<uint8_t>& header,
                       const std::vector<uint8_t>& values) {
  errno = 0;
  gzFile file = gzopen(path.c_str(), "wb6");
  if (file == nullptr) return WriteFailed(path);
  // gzwrite takes lengths below 2^31.
  constexpr size_t kChunk = size_t{1} << 30;
  bool ok =
      gzwrite(file, header.data(), static_cast<unsigned>(header.size())) > 0;
  for (size_t offset = 0; ok && offset < values.size(); offset += kChunk) {
    const size_t length = std::min(kChunk, values.size() - offset);
    ok = gzwrite(file, values.data() + offset, static_cast<unsigned>(length)) ==
         static_cast<int>(length);
  }
  ok = (gzclose(file) == Z_OK) && ok;
  return ok ? absl::OkStatus() : WriteFailed(path);
}

}  // namespace

absl::Status WriteIdx(const std::string& path,
                      const std::vector<uint32_t>& dimensions,
                      const std::vector<uint8_t>& values, bool gzip) {
  const std::vector<uint8_t> header = Header(dimensions);
  const std::string zipped = path + ".gz";
  const std::string& target = gzip ? zipped : path;
  const std::string& other = gzip ? path : zipped;
  const std::string part = target + ".part";
  RETURN_IF_ERROR(gzip ? WriteGzip(part, header, values)
                       : WritePlain(part, header, values));
  std::error_code error;
  std::filesystem::rename(part, target, error);
  if (!error) std::filesystem::remove(other, error);
  if (error) {
    return absl::ErrnoToStatus(
        error.value(), absl::StrCat("cannot put ", target, " in place"));
  }
  return absl::OkStatus();
}

}  // namespace trainyard::glyphs
