#include "workers/runner/data/safetensors.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "workers/runner/data/file.h"
#include "workers/runner/data/safetensors_header.h"

namespace trainyard::data {
namespace {

constexpr size_t kSizeBytes = 8;
// The bound of the format's own implementation.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kHeaderAlignment = 8;

uint64_t LoadLittleEndian64(const std::byte* bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i)
    value = value << 8 | static_cast<uint64_t>(bytes[i]);
  return value;
}

std::string StoreLittleEndian64(uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

// Tensors fill the data from its first to its last byte, without gap or
// overlap.
absl::Status CheckPlaces(const SafetensorsHeader& header, uint64_t data_size) {
  std::vector<const std::pair<const std::string, TensorEntry>*> by_place;
  by_place.reserve(header.tensors.size());
  for (const auto& tensor : header.tensors) by_place.push_back(&tensor);
  std::sort(by_place.begin(), by_place.end(), [](const auto* a, const auto* b) {
    return std::make_pair(a->second.begin, a->second.end) <
           std::make_pair(b->second.begin, b->second.end);
  });
  uint64_t next = 0;
  for (const auto* tensor : by_place) {
    const TensorEntry& entry = tensor->second;
    const std::string name = CleanUtf8(tensor->first);
    if (entry.end > data_size) {
      return absl::DataLossError(
          absl::StrCat("tensor \"", name, "\" ends at byte ", entry.end,
                       " of the data, which has only ", data_size,
                       ": the file is truncated"));
    }
    if (entry.begin != next) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", name, "\" begins at byte ", entry.begin,
          " of the data; ",
          entry.begin < next
              ? "it overlaps the one before, which ends at "
              : "there is a gap after the one before, which ends at ",
          next));
    }
    next = entry.end;
  }
  if (next != data_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the tensors end at byte ", next,
                     " of the data, which has ", data_size));
  }
  return absl::OkStatus();
}

bool IsUtf8(const std::string& text) {
  try {
    nlohmann::json(text).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

// Checks what would make a file that no reader takes.
absl::Status CheckWritable(const TensorMap& tensors,
                           const MetadataMap& metadata) {
  for (const auto& [name, view] : tensors) {
    if (name == "__metadata__" || !IsUtf8(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", CleanUtf8(name),
                       "\": a name must be UTF-8, not __metadata__"));
    }
    uint64_t bytes = 0;
    if (!TensorBytes(view.dtype, view.shape, &bytes) || bytes != view.size) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor \"", name, "\": ", view.size,
                       " bytes do not hold ", DTypeName(view.dtype),
                       " of shape [", absl::StrJoin(view.shape, ", "), "]"));
    }
  }
  for (const auto& [key, value] : metadata) {
    if (!IsUtf8(key) || !IsUtf8(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("metadata \"", CleanUtf8(key), "\" must be UTF-8"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

size_t DTypeSize(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
      return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
      return 1;
  }
  return 1;
}

const char* DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return "F64";
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI64:
      return "I64";
    case DType::kI32:
      return "I32";
    case DType::kI16:
      return "I16";
    case DType::kI8:
      return "I8";
    case DType::kU8:
      return "U8";
    case DType::kBool:
      return "BOOL";
  }
  return "unknown";
}

absl::StatusOr<SafetensorsContent> ParseSafetensors(
    absl::Span<const std::byte> bytes) {
  if (bytes.size() < kSizeBytes) {
    return absl::DataLossError(
        absl::StrCat("has ", bytes.size(),
                     " bytes; a safetensors file has at least 8: it is "
                     "truncated"));
  }
  const uint64_t header_size = LoadLittleEndian64(bytes.data());
  if (header_size > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "not a safetensors file: its first 8 bytes ask for a header of ",
        header_size, " bytes; at most ", kMaxHeaderBytes, " are allowed"));
  }
  if (header_size > bytes.size() - kSizeBytes) {
    return absl::DataLossError(absl::StrCat(
        "is truncated: its header needs ", kSizeBytes + header_size,
        " bytes, the file has ", bytes.size()));
  }
  const absl::string_view json(
      reinterpret_cast<const char*>(bytes.data()) + kSizeBytes, header_size);
  ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensorsHeader(json));
  const absl::Span<const std::byte> data =
      bytes.subspan(kSizeBytes + header_size);
  RETURN_IF_ERROR(CheckPlaces(header, data.size()));

  SafetensorsContent content;
  content.metadata = std::move(header.metadata);
  for (auto& [name, entry] : header.tensors) {
    content.tensors.emplace_hint(
        content.tensors.end(), name,
        TensorView{entry.dtype, std::move(entry.shape),
                   data.data() + entry.begin,
                   static_cast<size_t>(entry.end - entry.begin)});
  }
  return content;
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(InputFile input, InputFile::Open(path));
  SafetensorsFile file;
  file.path_ = path;
  if (input.size() > 0) {
    void* mapping = ::mmap(nullptr, input.size(), PROT_READ, MAP_PRIVATE,
                           input.descriptor(), 0);
    if (mapping == MAP_FAILED)
      return ErrnoStatus(errno, absl::StrCat("cannot map ", path));
    file.mapping_ = mapping;
    file.mapping_size_ = input.size();
  }
  absl::StatusOr<SafetensorsContent> content =
      ParseSafetensors(absl::MakeConstSpan(
          static_cast<const std::byte*>(file.mapping_), file.mapping_size_));
  if (!content.ok()) return WithContext(content.status(), path);
  file.tensors_ = std::move(content->tensors);
  file.metadata_ = std::move(content->metadata);
  return file;
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept {
  *this = std::move(other);
}

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_size_, other.mapping_size_);
  std::swap(tensors_, other.tensors_);
  std::swap(metadata_, other.metadata_);
  return *this;
}

SafetensorsFile::~SafetensorsFile() {
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_size_);
}

absl::StatusOr<TensorView> SafetensorsFile::Find(
    const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    return absl::NotFoundError(
        absl::StrCat(path_, ": tensor \"", CleanUtf8(name),
                     "\" is not among its ", tensors_.size(), " tensors"));
  }
  return found->second;
}

absl::Status WriteSafetensors(const std::string& path, const TensorMap& tensors,
                              const MetadataMap& metadata) {
  if (absl::Status status = CheckWritable(tensors, metadata); !status.ok()) {
    return WithContext(status, path);
  }
  std::vector<TensorMap::const_iterator> order;
  for (auto it = tensors.begin(); it != tensors.end(); ++it)
    order.push_back(it);
  std::stable_sort(
      order.begin(), order.end(), [](const auto& a, const auto& b) {
        return DTypeSize(a->second.dtype) > DTypeSize(b->second.dtype);
      });

  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::vector<absl::string_view> pieces(2);
  uint64_t next = 0;
  for (const auto& tensor : order) {
    const TensorView& view = tensor->second;
    header[tensor->first] = {{"dtype", DTypeName(view.dtype)},
                             {"shape", view.shape},
                             {"data_offsets", {next, next + view.size}}};
    next += view.size;
    pieces.emplace_back(reinterpret_cast<const char*>(view.data), view.size);
  }
  std::string json = header.dump();
  json.append(
      (kHeaderAlignment - json.size() % kHeaderAlignment) % kHeaderAlignment,
      ' ');
  if (json.size() > kMaxHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the header would have ", json.size(),
                     " bytes; at most ", kMaxHeaderBytes, " are allowed"));
  }
  const std::string size = StoreLittleEndian64(json.size());
  pieces[0] = size;
  pieces[1] = json;
  return WriteFileAtomically(path, pieces);
}

}  // namespace trainyard::data
