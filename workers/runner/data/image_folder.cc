#include "workers/runner/data/image_folder.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"
#include "workers/runner/data/image_decoder.h"
#include "workers/runner/data/image_listing.h"

namespace trainyard::data {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

// Thread-safe: each reading thread borrows a decoder of its own.
class ImageFolderDataset : public Dataset {
 public:
  ImageFolderDataset(std::string root, ImageListing listing, int image_size)
      : root_(std::move(root)),
        listing_(std::move(listing)),
        image_size_(image_size) {
    for (std::string& name : listing_.class_names) name = CleanUtf8(name);
  }

  uint32_t num_samples() const override {
    return static_cast<uint32_t>(listing_.files.size());
  }
  SampleShape sample_shape() const override {
    return {3, image_size_, image_size_};
  }
  const std::vector<std::string>& class_names() const override {
    return listing_.class_names;
  }
  absl::Span<const int32_t> labels() const override { return listing_.labels; }
  bool in_memory() const override { return false; }

  absl::Status Read(absl::Span<const uint32_t> indices, uint8_t* pixels,
                    int64_t* labels) const override {
    std::unique_ptr<Desk> desk = Borrow();
    absl::Status status;
    for (uint32_t index : indices) {
      status = ReadOne(index, desk.get(), pixels);
      if (!status.ok()) break;
      pixels += sample_shape().size();
      *labels++ = listing_.labels[index];
    }
    Return(std::move(desk));
    return status;
  }

  std::string sample_name(uint32_t index) const override {
    return CleanUtf8(listing_.files[index]);
  }

 private:
  // What one thread needs to read an image.
  struct Desk {
    ImageDecoder decoder;
    std::vector<uint8_t> bytes;
  };

  absl::Status ReadOne(uint32_t index, Desk* desk, uint8_t* pixels) const {
    const std::string path = absl::StrCat(root_, "/", listing_.files[index]);
    // A link put there since the listing would have escaped its check.
    ASSIGN_OR_RETURN(const InputFile file,
                     InputFile::Open(path, /*follow_links=*/false));
    if (file.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, " has ", file.size(), " bytes; at most ",
                       kMaxFileBytes, " are allowed"));
    }
    desk->bytes.resize(file.size());
    RETURN_IF_ERROR(file.ReadAt(0, desk->bytes.data(), desk->bytes.size()));
    return WithContext(desk->decoder.Decode(desk->bytes, image_size_, pixels),
                       path);
  }

  std::unique_ptr<Desk> Borrow() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (free_desks_.empty()) return std::make_unique<Desk>();
    std::unique_ptr<Desk> desk = std::move(free_desks_.back());
    free_desks_.pop_back();
    return desk;
  }

  void Return(std::unique_ptr<Desk> desk) const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    free_desks_.push_back(std::move(desk));
  }

  const std::string root_;
  ImageListing listing_;
  const int image_size_;

  mutable absl::Mutex mutex_;
  // As many as threads have ever read at once.
  mutable std::vector<std::unique_ptr<Desk>> free_desks_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<RawParts> OpenImageFolder(const std::string& folder,
                                         int image_size, Labels labels) {
  ASSIGN_OR_RETURN(ImageListings listed, ListImages(folder, labels));
  RawParts parts;
  parts.train = std::make_unique<ImageFolderDataset>(
      listed.root, std::move(listed.train), image_size);
  if (listed.test.has_value()) {
    parts.test = std::make_unique<ImageFolderDataset>(
        listed.root, *std::move(listed.test), image_size);
  }
  return parts;
}

}  // namespace trainyard::data
