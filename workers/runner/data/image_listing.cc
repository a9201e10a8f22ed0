#include "workers/runner/data/image_listing.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "workers/runner/data/file.h"

namespace trainyard::data {
namespace {

constexpr int kMaxDepth = 32;

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

// What a folder holds directly, hidden entries left out, by the names' bytes.
struct Contents {
  std::vector<std::pair<std::string, std::string>> folders;  // name and place
  std::vector<std::string> images;                           // places
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

  // What lies in `relative`. INVALID_ARGUMENT: images beside folders, of which
  // nobody knows what they are meant to be.
  absl::StatusOr<Contents> Look(const std::string& relative) const {
    ASSIGN_OR_RETURN(const std::vector<FolderEntry> entries,
                     ListFolder(Absolute(relative)));
    Contents contents;
    for (const FolderEntry& entry : entries) {
      if (entry.name[0] == '.') continue;
      std::string place;
      ASSIGN_OR_RETURN(const EntryKind kind, Resolve(relative, entry, &place));
      if (kind == EntryKind::kFolder) {
        contents.folders.emplace_back(entry.name, std::move(place));
      } else if (kind == EntryKind::kFile && IsImageName(entry.name)) {
        RETURN_IF_ERROR(CheckRoom(contents.images));
        contents.images.push_back(std::move(place));
      }
    }
    if (!contents.folders.empty() && !contents.images.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          Absolute(relative), " holds images (", contents.images.front(),
          ") beside folders (", contents.folders.front().first,
          "); it must hold either one folder per class or, to be predicted "
          "without labels, images only"));
    }
    return contents;
  }

  // Appends all images below `relative` to the listing. seen: folders of this
  // class that were walked; links can lead to them again.
  absl::Status AddImages(const std::string& relative, int32_t label, int depth,
                         std::set<std::string>* seen,
                         ImageListing* listing) const {
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
        RETURN_IF_ERROR(CheckRoom(listing->files));
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
  absl::Status CheckRoom(const std::vector<std::string>& files) const {
    if (files.size() < std::numeric_limits<uint32_t>::max()) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat(root_, " has more than 4,294,967,295 images"));
  }

  const std::string root_;  // without symbolic links
};

// Samples without labels: the images that lie in `relative` itself, in which
// there are no folders.
absl::StatusOr<ImageListing> ListUnlabelled(const Lister& lister,
                                            const std::string& relative,
                                            Contents contents, Labels labels) {
  const std::string path = lister.Absolute(relative);
  if (contents.images.empty()) {
    return absl::NotFoundError(absl::StrCat(
        path, " holds no folders; it must hold one per class",
        labels == Labels::kOptional
            ? ", or .jpg, .jpeg or .png files to be predicted without labels"
            : ""));
  }
  if (labels == Labels::kRequired) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        " holds images but no folders; it must hold one folder per class: "
        "without labels images can be predicted (ensemble.data), not trained "
        "on"));
  }
  ImageListing listing;
  listing.labels.assign(contents.images.size(), kNoLabel);
  listing.files = std::move(contents.images);
  return listing;
}

// Classes of a training part: every folder is one and holds images.
absl::StatusOr<ImageListing> ListTrain(const Lister& lister,
                                       const std::string& relative,
                                       Labels labels) {
  ASSIGN_OR_RETURN(Contents contents, lister.Look(relative));
  if (contents.folders.empty()) {
    return ListUnlabelled(lister, relative, std::move(contents), labels);
  }
  ImageListing listing;
  for (const auto& [name, place] : contents.folders) {
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

// A validation part: some of the training part's classes, or no labels.
absl::StatusOr<ImageListing> ListValidation(
    const Lister& lister, const std::string& relative,
    const std::vector<std::string>& class_names, Labels labels) {
  ASSIGN_OR_RETURN(Contents contents, lister.Look(relative));
  if (!contents.images.empty()) {
    return ListUnlabelled(lister, relative, std::move(contents), labels);
  }
  std::map<std::string, int32_t> label_of;
  for (const std::string& name : class_names) {
    label_of.emplace(name, static_cast<int32_t>(label_of.size()));
  }
  ImageListing listing;
  listing.class_names = class_names;
  for (const auto& [name, place] : contents.folders) {
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

}  // namespace

absl::StatusOr<ImageListings> ListImages(const std::string& folder,
                                         Labels labels) {
  ASSIGN_OR_RETURN(const std::string root, RealPath(folder));
  const Lister lister(root);
  ASSIGN_OR_RETURN(const Contents top, lister.Look(""));
  std::map<std::string, std::string> places(top.folders.begin(),
                                            top.folders.end());
  // A class may be called "train", too: then it holds images, not folders.
  bool is_split = false;
  if (const auto train = places.find("train"); train != places.end()) {
    ASSIGN_OR_RETURN(const Contents classes, lister.Look(train->second));
    is_split = !classes.folders.empty();
  }
  ImageListings listed;
  listed.root = root;
  ASSIGN_OR_RETURN(listed.train,
                   ListTrain(lister, is_split ? places["train"] : "", labels));
  if (const auto val = places.find("val"); is_split && val != places.end()) {
    ASSIGN_OR_RETURN(
        listed.test,
        ListValidation(lister, val->second, listed.train.class_names, labels));
  }
  return listed;
}

}  // namespace trainyard::data
