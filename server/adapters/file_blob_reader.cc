#include "server/adapters/file_blob_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/adapters/sha256.h"

namespace trainyard::adapters {
namespace {

class Reader : public engine::BlobReader {
 public:
  Reader(std::string name, std::string hex, File file, uint64_t size,
         uint64_t offset, std::function<void()> damaged)
      : name_(std::move(name)),
        hex_(std::move(hex)),
        file_(std::move(file)),
        size_(size),
        offset_(offset),
        hashed_(offset == 0),
        damaged_(std::move(damaged)) {}

  uint64_t size_bytes() const override { return size_; }
  uint64_t offset() const override { return offset_; }

  absl::StatusOr<std::string> Read(size_t limit) override {
    if (offset_ == size_) return std::string();
    const auto wanted =
        static_cast<size_t>(std::min<uint64_t>(limit, size_ - offset_));
    ASSIGN_OR_RETURN(std::string bytes, file_.ReadAt(offset_, wanted));
    if (bytes.size() != wanted) return Damaged("its file became shorter");
    if (hashed_) hash_.Update(bytes);
    offset_ += bytes.size();
    if (offset_ == size_ && hashed_ && hash_.HexDigest() != hex_) {
      return Damaged("its bytes have another hash");
    }
    return bytes;
  }

 private:
  absl::Status Damaged(absl::string_view why) const {
    damaged_();
    return absl::DataLossError(absl::StrCat(
        "artifact ", name_, " is damaged on the server's disk: ", why));
  }

  const std::string name_;
  const std::string hex_;
  const File file_;
  const uint64_t size_;
  uint64_t offset_;
  const bool hashed_;
  const std::function<void()> damaged_;
  Sha256 hash_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<engine::BlobReader>> OpenBlobReader(
    const std::string& name, const std::string& hex, File file, uint64_t offset,
    std::function<void()> damaged) {
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (offset > size) {
    return absl::OutOfRangeError(absl::StrCat("offset: ", offset,
                                              " is beyond the end of ", name,
                                              ": must be at most ", size));
  }
  return std::make_unique<Reader>(name, hex, std::move(file), size, offset,
                                  std::move(damaged));
}

}  // namespace trainyard::adapters
