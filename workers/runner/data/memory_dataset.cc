#include "workers/runner/data/memory_dataset.h"

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"

namespace trainyard::data {

absl::StatusOr<std::unique_ptr<uint8_t[]>> AllocateBytes(
    uint64_t size, const std::string& purpose) {
  std::unique_ptr<uint8_t[]> bytes;
  if (size <=
      static_cast<uint64_t>(std::numeric_limits<std::ptrdiff_t>::max())) {
    bytes.reset(new (std::nothrow) uint8_t[size]);
  }
  if (bytes == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no memory for ", purpose, ": ", size, " bytes are needed"));
  }
  return bytes;
}

MemoryDataset::MemoryDataset(SampleShape shape,
                             std::unique_ptr<uint8_t[]> pixels,
                             std::vector<int32_t> labels,
                             std::vector<std::string> class_names)
    : shape_(shape),
      pixels_(std::move(pixels)),
      labels_(std::move(labels)),
      class_names_(std::move(class_names)) {}

absl::Status MemoryDataset::Read(absl::Span<const uint32_t> indices,
                                 uint8_t* pixels, int64_t* labels) const {
  const size_t size = static_cast<size_t>(shape_.size());
  for (uint32_t index : indices) {
    std::memcpy(pixels, pixels_.get() + size * index, size);
    pixels += size;
    *labels++ = labels_[index];
  }
  return absl::OkStatus();
}

}  // namespace trainyard::data
