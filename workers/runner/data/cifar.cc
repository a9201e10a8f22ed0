#include "workers/runner/data/cifar.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"

namespace trainyard::data {
namespace {

constexpr SampleShape kShape{3, 32, 32};
constexpr uint64_t kPixelBytes = 3 * 32 * 32;
constexpr uint64_t kMaxNamesBytes = 64 * 1024;
constexpr uint64_t kRecordsPerRead = 1024;

// How the two layouts differ.
struct Layout {
  int num_classes;
  uint64_t label_bytes;  // the last of them is the label
  const char* test_file;
  const char* names_file;
  uint64_t record_bytes() const { return label_bytes + kPixelBytes; }
};
constexpr Layout kCifar10{10, 1, "test_batch.bin", "batches.meta.txt"};
constexpr Layout kCifar100{100, 2, "test.bin", "fine_label_names.txt"};

bool Exists(const std::string& path) {
  struct stat info = {};
  return ::stat(path.c_str(), &info) == 0;
}

// data_batch_2.bin before data_batch_10.bin.
bool ByLengthThenName(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

absl::StatusOr<std::vector<std::string>> TrainFiles(const std::string& folder,
                                                    CifarKind kind) {
  if (kind == CifarKind::k100) {
    const std::string path = folder + "/train.bin";
    if (Exists(path)) return std::vector<std::string>{path};
    return absl::NotFoundError(absl::StrCat(
        folder, " holds no CIFAR-100 data: train.bin must be in it"));
  }
  std::vector<std::string> paths;
  ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries, ListFolder(folder));
  for (const FolderEntry& entry : entries) {
    if (absl::StartsWith(entry.name, "data_batch_") &&
        absl::EndsWith(entry.name, ".bin")) {
      paths.push_back(absl::StrCat(folder, "/", entry.name));
    }
  }
  if (paths.empty()) {
    return absl::NotFoundError(absl::StrCat(
        folder, " holds no CIFAR-10 data: data_batch_*.bin must be in it"));
  }
  std::sort(paths.begin(), paths.end(), ByLengthThenName);
  return paths;
}

absl::StatusOr<std::vector<std::string>> ClassNames(const std::string& folder,
                                                    const Layout& layout) {
  const std::string path = absl::StrCat(folder, "/", layout.names_file);
  std::vector<std::string> names;
  if (!Exists(path)) {
    for (int c = 0; c < layout.num_classes; ++c)
      names.push_back(absl::StrCat(c));
    return names;
  }
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, kMaxNamesBytes));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty()) names.push_back(CleanUtf8(line));
  }
  if (names.size() != static_cast<size_t>(layout.num_classes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", names.size(), " class names; it must have ",
                     layout.num_classes, ", one a line"));
  }
  return names;
}

// The files' records are whole and at least one.
absl::StatusOr<std::vector<InputFile>> OpenFiles(
    const std::vector<std::string>& paths, const Layout& layout,
    uint64_t* num_samples) {
  std::vector<InputFile> files;
  *num_samples = 0;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
    const uint64_t records = file.size() / layout.record_bytes();
    const uint64_t rest = file.size() % layout.record_bytes();
    if (records == 0 || rest != 0) {
      return absl::DataLossError(absl::StrCat(
          path, " is truncated or no CIFAR file: expected records of ",
          layout.record_bytes(), " bytes, found ", file.size(),
          " bytes: ", records, " records and ", rest, " bytes"));
    }
    *num_samples += records;
    files.push_back(std::move(file));
  }
  if (*num_samples > std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        *num_samples, " samples; at most 4,294,967,295 are allowed"));
  }
  return files;
}

// Appends the file's records to pixels (at *pixels, moved on) and labels.
absl::Status ReadRecords(const InputFile& file, const Layout& layout,
                         uint8_t** pixels, std::vector<int32_t>* labels) {
  const uint64_t record_bytes = layout.record_bytes();
  const uint64_t records = file.size() / record_bytes;
  std::vector<uint8_t> buffer(std::min(records, kRecordsPerRead) *
                              record_bytes);
  for (uint64_t first = 0; first < records; first += kRecordsPerRead) {
    const uint64_t count = std::min(kRecordsPerRead, records - first);
    RETURN_IF_ERROR(
        file.ReadAt(first * record_bytes, buffer.data(), count * record_bytes));
    for (uint64_t i = 0; i < count; ++i) {
      const uint8_t* record = buffer.data() + i * record_bytes;
      const int label = record[layout.label_bytes - 1];
      if (label >= layout.num_classes) {
        return absl::InvalidArgumentError(absl::StrCat(
            file.path(), ": label ", label, " of sample ", first + i,
            " is out of range; it must be 0 to ", layout.num_classes - 1));
      }
      labels->push_back(label);
      std::memcpy(*pixels, record + layout.label_bytes, kPixelBytes);
      *pixels += kPixelBytes;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> ReadPart(
    const std::vector<std::string>& paths, const Layout& layout,
    const std::vector<std::string>& names) {
  uint64_t num_samples = 0;
  ASSIGN_OR_RETURN(const std::vector<InputFile> files,
                   OpenFiles(paths, layout, &num_samples));
  ASSIGN_OR_RETURN(std::unique_ptr<uint8_t[]> pixels,
                   AllocateBytes(num_samples * kPixelBytes, paths.front()));
  std::vector<int32_t> labels;
  labels.reserve(num_samples);
  uint8_t* next = pixels.get();
  for (const InputFile& file : files) {
    RETURN_IF_ERROR(ReadRecords(file, layout, &next, &labels));
  }
  return std::make_unique<MemoryDataset>(kShape, std::move(pixels),
                                         std::move(labels), names);
}

}  // namespace

absl::StatusOr<RawParts> OpenCifar(const std::string& folder, CifarKind kind) {
  const Layout& layout = kind == CifarKind::k10 ? kCifar10 : kCifar100;
  ASSIGN_OR_RETURN(const std::vector<std::string> train_files,
                   TrainFiles(folder, kind));
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   ClassNames(folder, layout));
  RawParts parts;
  ASSIGN_OR_RETURN(parts.train, ReadPart(train_files, layout, names));
  const std::string test_file = absl::StrCat(folder, "/", layout.test_file);
  if (Exists(test_file)) {
    ASSIGN_OR_RETURN(parts.test, ReadPart({test_file}, layout, names));
  }
  return parts;
}

}  // namespace trainyard::data
