// Reads and writes safetensors files: a little-endian u64 header size, a JSON
// header, the tensors' bytes (huggingface/safetensors, format section).
//
//   ASSIGN_OR_RETURN(SafetensorsFile file,
//   SafetensorsFile::Open("model.safetensors")); ASSIGN_OR_RETURN(TensorView
//   weight, file.Find("fc.weight")); memcpy(destination, weight.data,
//   weight.size); RETURN_IF_ERROR(WriteSafetensors(path, {{"fc.weight",
//   weight}}, {{"epoch", "3"}}));
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace trainyard::data {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

// Bytes of one element.
size_t DTypeSize(DType dtype);
// As written in the file: "F32", "BF16", "BOOL", ...
const char* DTypeName(DType dtype);

// A tensor's bytes: row-major, little-endian. Borrows `data`, which may be
// unaligned in files that others wrote; memcpy from it.
struct TensorView {
  DType dtype = DType::kF32;
  // Empty: a scalar. An extent may be 0.
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;
  // Bytes: DTypeSize times the product of shape.
  size_t size = 0;
};

using TensorMap = std::map<std::string, TensorView>;
using MetadataMap = std::map<std::string, std::string>;

// A mapped file: views are valid while this object lives and nobody shortens
// the file (files in use are replaced by rename, never rewritten). Movable;
// const methods are thread-safe.
class SafetensorsFile {
 public:
  // Checks the whole header against the file's size. INVALID_ARGUMENT or
  // DATA_LOSS name the path, the tensor and what would be right.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  SafetensorsFile(SafetensorsFile&& other) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&& other) noexcept;
  ~SafetensorsFile();

  const TensorMap& tensors() const { return tensors_; }
  const MetadataMap& metadata() const { return metadata_; }
  // NOT_FOUND names the tensor and the file.
  absl::StatusOr<TensorView> Find(const std::string& name) const;

 private:
  SafetensorsFile() = default;

  std::string path_;
  void* mapping_ = nullptr;
  size_t mapping_size_ = 0;
  TensorMap tensors_;
  MetadataMap metadata_;
};

// What Open does once the bytes are there; views point into `bytes`.
struct SafetensorsContent {
  TensorMap tensors;
  MetadataMap metadata;
};
absl::StatusOr<SafetensorsContent> ParseSafetensors(
    absl::Span<const std::byte> bytes);

// Writes the file at once: a temporary beside it, fsync, rename, fsync of the
// folder. Tensors are laid out by falling element size, then name, so that all
// are aligned. INVALID_ARGUMENT when a view's size does not fit its shape.
absl::Status WriteSafetensors(const std::string& path, const TensorMap& tensors,
                              const MetadataMap& metadata);

}  // namespace trainyard::data
