#include "workers/runner/data/idx.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"
#include "workers/runner/data/gzip.h"

namespace trainyard::data {
namespace {

constexpr uint32_t kImagesMagic = 0x00000803;
constexpr uint32_t kLabelsMagic = 0x00000801;
constexpr uint32_t kMaxSide = 4096;

// An IDX file's header and the bytes behind it.
struct IdxFile {
  std::string path;
  std::vector<uint32_t> extents;
  std::unique_ptr<uint8_t[]> bytes;
  uint64_t size = 0;
};

uint32_t LoadBigEndian32(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
         uint32_t{bytes[2]} << 8 | bytes[3];
}

absl::Status Truncated(const std::string& path, uint64_t expected,
                       uint64_t found) {
  return absl::DataLossError(absl::StrCat(path, " is truncated: expected ",
                                          expected, " bytes, found ", found));
}

// Reads in sequence, plain or compressed.
class Source {
 public:
  static absl::StatusOr<Source> Open(const std::string& path, bool compressed) {
    Source source;
    if (compressed) {
      ASSIGN_OR_RETURN(source.gzip_, GzipFile::Open(path));
    } else {
      ASSIGN_OR_RETURN(source.plain_, InputFile::Open(path));
    }
    return source;
  }

  // Bytes that the file can hold at most: exact when it is plain.
  uint64_t max_size() const {
    return gzip_ ? gzip_->max_plain_bytes() : plain_->size();
  }
  const std::string& path() const {
    return gzip_ ? gzip_->path() : plain_->path();
  }

  bool cut_off() const { return gzip_ && gzip_->cut_off(); }

  absl::StatusOr<uint64_t> ReadSome(void* to, uint64_t size) {
    if (gzip_) return gzip_->ReadSome(to, size);
    size = std::min(size, plain_->size() - position_);
    RETURN_IF_ERROR(plain_->ReadAt(position_, to, size));
    position_ += size;
    return size;
  }

 private:
  std::optional<GzipFile> gzip_;
  std::optional<InputFile> plain_;
  uint64_t position_ = 0;
};

absl::StatusOr<std::vector<uint32_t>> ReadHeader(Source& source,
                                                 uint32_t magic) {
  const size_t dimensions = magic & 0xFF;
  const uint64_t size = 4 + 4 * dimensions;
  uint8_t header[16] = {};
  ASSIGN_OR_RETURN(const uint64_t found, source.ReadSome(header, size));
  if (found < size) return Truncated(source.path(), size, found);
  if (const uint32_t value = LoadBigEndian32(header); value != magic) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s is no IDX file of %s: its magic number is 0x%08x, it must be "
        "0x%08x",
        source.path(), magic == kImagesMagic ? "images" : "labels", value,
        magic));
  }
  std::vector<uint32_t> extents;
  for (size_t i = 1; i <= dimensions; ++i)
    extents.push_back(LoadBigEndian32(header + 4 * i));
  if (extents[0] == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(source.path(), " holds no samples"));
  }
  for (size_t i = 1; i < dimensions; ++i) {
    if (extents[i] == 0 || extents[i] > kMaxSide) {
      return absl::InvalidArgumentError(absl::StrCat(
          source.path(), " has images of ", extents[1], " x ", extents[2],
          " pixels; each side must be 1 to ", kMaxSide));
    }
  }
  return extents;
}

absl::StatusOr<IdxFile> ReadIdx(const std::string& path, bool compressed,
                                uint32_t magic) {
  ASSIGN_OR_RETURN(Source source, Source::Open(path, compressed));
  IdxFile file;
  file.path = path;
  ASSIGN_OR_RETURN(file.extents, ReadHeader(source, magic));
  const uint64_t header_size = 4 + 4 * file.extents.size();
  file.size = 1;  // at most 2^32 * 2^12 * 2^12
  for (uint32_t extent : file.extents) file.size *= extent;
  if (header_size + file.size > source.max_size()) {
    if (!compressed)
      return Truncated(path, header_size + file.size, source.max_size());
    return absl::DataLossError(
        absl::StrCat(path, " is truncated: its header asks for ",
                     header_size + file.size, " bytes, more than it can hold"));
  }
  ASSIGN_OR_RETURN(file.bytes, AllocateBytes(file.size, path));
  ASSIGN_OR_RETURN(const uint64_t found,
                   source.ReadSome(file.bytes.get(), file.size));
  if (found < file.size) {
    return Truncated(path, header_size + file.size, header_size + found);
  }
  // Also makes zlib compare the checksum.
  uint8_t more = 0;
  ASSIGN_OR_RETURN(const uint64_t extra, source.ReadSome(&more, 1));
  if (source.cut_off()) {
    return absl::DataLossError(
        absl::StrCat(path, " is truncated: its checksum is missing"));
  }
  if (extra > 0) {
    return absl::DataLossError(absl::StrCat(path, " has more than the ",
                                            header_size + file.size,
                                            " bytes that its header asks for"));
  }
  return file;
}

bool Exists(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0;
}

// Reads `stem` or `stem`.gz; nothing when neither is there.
absl::StatusOr<std::optional<IdxFile>> ReadEither(const std::string& stem,
                                                  uint32_t magic) {
  for (bool compressed : {false, true}) {
    const std::string path = compressed ? stem + ".gz" : stem;
    if (!Exists(path)) continue;
    ASSIGN_OR_RETURN(IdxFile file, ReadIdx(path, compressed, magic));
    return std::optional<IdxFile>(std::move(file));
  }
  return std::optional<IdxFile>();
}

struct Part {
  IdxFile images;
  std::optional<IdxFile> labels;
};

absl::StatusOr<std::optional<Part>> ReadPart(const std::string& folder,
                                             const std::string& prefix,
                                             Labels needed) {
  const std::string images_stem =
      absl::StrCat(folder, "/", prefix, "-images-idx3-ubyte");
  const std::string labels_stem =
      absl::StrCat(folder, "/", prefix, "-labels-idx1-ubyte");
  // Labels first: they are small, and what is wrong with them is known early.
  ASSIGN_OR_RETURN(std::optional<IdxFile> labels,
                   ReadEither(labels_stem, kLabelsMagic));
  const bool images_there = Exists(images_stem) || Exists(images_stem + ".gz");
  if (!labels.has_value() && !images_there) return std::optional<Part>();
  if (!images_there) {
    return absl::NotFoundError(absl::StrCat(images_stem, "[.gz] is missing; ",
                                            labels_stem, " is there"));
  }
  if (!labels.has_value() && needed == Labels::kRequired) {
    return absl::NotFoundError(
        absl::StrCat(labels_stem, "[.gz] is missing; ", images_stem,
                     " is there; without labels images can be predicted "
                     "(ensemble.data), not trained on"));
  }
  ASSIGN_OR_RETURN(std::optional<IdxFile> images,
                   ReadEither(images_stem, kImagesMagic));
  if (!images.has_value())
    return absl::NotFoundError(images_stem + "[.gz] has vanished");
  if (labels.has_value() && images->extents[0] != labels->extents[0]) {
    return absl::InvalidArgumentError(
        absl::StrCat(images->path, " has ", images->extents[0], " images, but ",
                     labels->path, " has ", labels->extents[0],
                     " labels; the numbers must be equal"));
  }
  return std::optional<Part>(Part{*std::move(images), std::move(labels)});
}

// 0 where there are no labels.
int NumClasses(const Part& part) {
  if (!part.labels.has_value()) return 0;
  const uint8_t* labels = part.labels->bytes.get();
  return 1 + *std::max_element(labels, labels + part.labels->size);
}

absl::StatusOr<std::vector<int32_t>> LabelsOf(const Part& part,
                                              int num_classes) {
  if (!part.labels.has_value()) {
    return std::vector<int32_t>(part.images.extents[0], kNoLabel);
  }
  const uint8_t* bytes = part.labels->bytes.get();
  std::vector<int32_t> labels(bytes, bytes + part.labels->size);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= num_classes) {
      return absl::InvalidArgumentError(absl::StrCat(
          part.labels->path, ": label ", labels[i], " of sample ", i,
          " is out of range; the training part has labels 0 to ",
          num_classes - 1));
    }
  }
  return labels;
}

absl::StatusOr<std::unique_ptr<Dataset>> MakeDataset(Part part,
                                                     int num_classes) {
  ASSIGN_OR_RETURN(std::vector<int32_t> labels, LabelsOf(part, num_classes));
  std::vector<std::string> names;
  if (part.labels.has_value()) {
    for (int c = 0; c < num_classes; ++c) names.push_back(absl::StrCat(c));
  }
  const SampleShape shape{1, static_cast<int>(part.images.extents[1]),
                          static_cast<int>(part.images.extents[2])};
  return std::make_unique<MemoryDataset>(shape, std::move(part.images.bytes),
                                         std::move(labels), std::move(names));
}

absl::Status NothingIn(const std::string& folder, Labels needed) {
  return absl::NotFoundError(absl::StrCat(
      folder, " holds no IDX data: ",
      needed == Labels::kRequired
          ? "train-images-idx3-ubyte[.gz] and train-labels-idx1-ubyte[.gz]"
          : "train-images-idx3-ubyte[.gz] or t10k-images-idx3-ubyte[.gz]",
      " must be in it"));
}

}  // namespace

absl::StatusOr<RawParts> OpenIdx(const std::string& folder, Labels labels) {
  ASSIGN_OR_RETURN(std::optional<Part> train,
                   ReadPart(folder, "train", labels));
  if (!train.has_value() && labels == Labels::kRequired) {
    return NothingIn(folder, labels);
  }
  ASSIGN_OR_RETURN(std::optional<Part> test, ReadPart(folder, "t10k", labels));
  if (!train.has_value()) std::swap(train, test);
  if (!train.has_value()) return NothingIn(folder, labels);
  const int of_train = NumClasses(*train);
  RawParts parts;
  ASSIGN_OR_RETURN(parts.train, MakeDataset(*std::move(train), of_train));
  if (test.has_value()) {
    const int of_test = of_train > 0 ? of_train : NumClasses(*test);
    ASSIGN_OR_RETURN(parts.test, MakeDataset(*std::move(test), of_test));
  }
  return parts;
}

}  // namespace trainyard::data
