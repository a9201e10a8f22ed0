#include "workers/runner/data/image_folder.h"

#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"
#include "workers/runner/data/image_decoder.h"

namespace trainyard::data {
namespace {

constexpr int kMaxDepth = 32;
constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;

bool IsImageName(absl::string_view name) {
  for (absl::string_view extension : {".jpg", ".jpeg", ".png"}) {
    if (absl::EndsWithIgnoreCase(name, extension)) return true;
  }
  return false;
}

absl::StatusOr<std::string> RealPath(const std::string& path) {
  std::unique_ptr<char, decltype(&std::free)> resolved(
      ::realpath(path.c_str(), nullptr), &std::free);
  if (resolved == nullptr)
    return ErrnoStatus(errno, absl::StrCat("cannot resolve ", path));
  return std::string(resolved.get());
}

// Samples of one part, before and while they are listed.
struct Listing {
  std::vector<std::string> files;  // relative to the root
  std::vector<int32_t> labels;
  std::vector<std::string> class_names;  // as the folders are called
};

// Walks a tree of which every part stays below the root.
class Lister {
 public:
  explicit Lister(std::string root) : root_(std::move(root)) {}

  // What `entry` of the folder `relative` is, links followed; its place below
  // the root in *place.
  absl::StatusOr<EntryKind> Resolve(const std::string& relative,
                                    const FolderEntry& entry,
                                    std::string* place) const {
    *place =
        relative.empty() ? entry.name : absl::StrCat(relative, "/", entry.name);
    if (entry.kind != EntryKind::kLink) return entry.kind;
    const std::string link = absl::StrCat(root_, "/", *place);
    ASSIGN_OR_RETURN(const std::string target, RealPath(link));
    const std::string prefix = root_ == "/" ? root_ : root_ + "/";
    if (!absl::StartsWith(target, prefix)) {
      return absl::PermissionDeniedError(
          absl::StrCat(link, " is a symbolic link to ", target, ", outside of ",
                       root_, "; it is refused"));
    }
    *place = target.substr(prefix.size());
    struct stat info = {};
    if (::stat(target.c_str(), &info) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot stat ", target));
    }
    if (S_ISREG(info.st_mode)) return EntryKind::kFile;
    return S_ISDIR(info.st_mode) ? EntryKind::kFolder : EntryKind::kOther;
  }

  // Folders directly in `relative`, hidden ones left out: name and place.
  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Folders(
      const std::string& relative) const {
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries,
                     ListFolder(Absolute(relative)));
    std::vector<std::pair<std::string, std::string>> folders;
    for (const FolderEntry& entry : entries) {
      if (entry.name[0] == '.') continue;
      std::string place;
      ASSIGN_OR_RETURN(const EntryKind kind, Resolve(relative, entry, &place));
      if (kind == EntryKind::kFolder) folders.emplace_back(entry.name, place);
    }
    return folders;
  }

  // Appends all images below `relative` to the listing. seen: folders of this
  // class that were walked; links can lead to them again.
  absl::Status AddImages(const std::string& relative, int32_t label, int depth,
                         std::set<std::string>* seen, Listing* listing) const {
    if (depth > kMaxDepth) {
      return absl::InvalidArgumentError(absl::StrCat(
          Absolute(relative), " lies more than ", kMaxDepth, " folders deep"));
    }
    if (!seen->insert(relative).second) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries,
                     ListFolder(Absolute(relative)));
    for (const FolderEntry& entry : entries) {
      if (entry.name[0] == '.') continue;
      std::string place;
      ASSIGN_OR_RETURN(const EntryKind kind, Resolve(relative, entry, &place));
      if (kind == EntryKind::kFolder) {
        RETURN_IF_ERROR(AddImages(place, label, depth + 1, seen, listing));
      } else if (kind == EntryKind::kFile && IsImageName(entry.name)) {
        if (listing->files.size() == std::numeric_limits<uint32_t>::max()) {
          return absl::InvalidArgumentError(
              absl::StrCat(root_, " has more than 4,294,967,295 images"));
        }
        listing->files.push_back(std::move(place));
        listing->labels.push_back(label);
      }
    }
    return absl::OkStatus();
  }

  std::string Absolute(const std::string& relative) const {
    return relative.empty() ? root_ : absl::StrCat(root_, "/", relative);
  }

 private:
  const std::string root_;  // without symbolic links
};

// Classes of a training part: every folder is one and holds images.
absl::StatusOr<Listing> ListTrain(const Lister& lister,
                                  const std::string& relative) {
  Listing listing;
  ASSIGN_OR_RETURN(const auto folders, lister.Folders(relative));
  if (folders.empty()) {
    return absl::NotFoundError(
        absl::StrCat(lister.Absolute(relative),
                     " holds no folders; it must hold one per class"));
  }
  for (const auto& [name, place] : folders) {
    const size_t before = listing.files.size();
    std::set<std::string> seen;
    RETURN_IF_ERROR(lister.AddImages(
        place, static_cast<int32_t>(listing.class_names.size()), 0, &seen,
        &listing));
    if (listing.files.size() == before) {
      return absl::InvalidArgumentError(
          absl::StrCat("class folder ", lister.Absolute(place),
                       " holds no .jpg, .jpeg or .png file"));
    }
    listing.class_names.push_back(name);
  }
  return listing;
}

// A validation part: some of the training part's classes.
absl::StatusOr<Listing> ListValidation(
    const Lister& lister, const std::string& relative,
    const std::vector<std::string>& class_names) {
  std::map<std::string, int32_t> label_of;
  for (const std::string& name : class_names) {
    label_of.emplace(name, static_cast<int32_t>(label_of.size()));
  }
  Listing listing;
  listing.class_names = class_names;
  ASSIGN_OR_RETURN(const auto folders, lister.Folders(relative));
  for (const auto& [name, place] : folders) {
    const auto found = label_of.find(name);
    if (found == label_of.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("class folder ", lister.Absolute(place),
                       " has no counterpart in the training part"));
    }
    std::set<std::string> seen;
    RETURN_IF_ERROR(lister.AddImages(place, found->second, 0, &seen, &listing));
  }
  if (listing.files.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        lister.Absolute(relative), " holds no .jpg, .jpeg or .png file"));
  }
  return listing;
}

// Thread-safe: each reading thread borrows a decoder of its own.
class ImageFolderDataset : public Dataset {
 public:
  ImageFolderDataset(std::string root, Listing listing, int image_size)
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
  Listing listing_;
  const int image_size_;

  mutable absl::Mutex mutex_;
  // As many as threads have ever read at once.
  mutable std::vector<std::unique_ptr<Desk>> free_desks_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<RawParts> OpenImageFolder(const std::string& folder,
                                         int image_size) {
  ASSIGN_OR_RETURN(const std::string root, RealPath(folder));
  const Lister lister(root);
  ASSIGN_OR_RETURN(const auto top, lister.Folders(""));
  std::map<std::string, std::string> places(top.begin(), top.end());
  // A class may be called "train", too: then it holds images, not folders.
  bool is_split = false;
  if (const auto train = places.find("train"); train != places.end()) {
    ASSIGN_OR_RETURN(const auto classes, lister.Folders(train->second));
    is_split = !classes.empty();
  }
  RawParts parts;
  ASSIGN_OR_RETURN(Listing train,
                   ListTrain(lister, is_split ? places["train"] : ""));
  if (const auto val = places.find("val"); is_split && val != places.end()) {
    ASSIGN_OR_RETURN(Listing validation,
                     ListValidation(lister, val->second, train.class_names));
    parts.test = std::make_unique<ImageFolderDataset>(
        root, std::move(validation), image_size);
  }
  parts.train =
      std::make_unique<ImageFolderDataset>(root, std::move(train), image_size);
  return parts;
}

}  // namespace trainyard::data
