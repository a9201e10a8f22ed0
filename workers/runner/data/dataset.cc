#include "workers/runner/data/dataset.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "workers/runner/data/cifar.h"
#include "workers/runner/data/file.h"
#include "workers/runner/data/idx.h"
#include "workers/runner/data/image_folder.h"
#include "workers/runner/data/normalization.h"
#include "workers/runner/data/sampler.h"
#include "workers/runner/data/split.h"

namespace trainyard::data {
namespace {

constexpr double kDefaultSplit = 0.1;
constexpr double kMaxSplit = 0.9;
constexpr uint32_t kDefaultImageSize = 224;
constexpr uint32_t kMinImageSize = 8;
constexpr uint32_t kMaxImageSize = 4096;
constexpr int kMaxClasses = 100'000;

// Purposes of the seed, so that picking and holding out draw apart.
constexpr uint64_t kPickSalt = 0x7069636b;
constexpr uint64_t kHoldOutSalt = 0x686f6c64;

absl::Status CheckOptions(const DataOptions& options) {
  if (options.path.empty()) {
    return absl::InvalidArgumentError("data.source: a folder is needed");
  }
  if (!(options.validation_split >= 0 &&
        options.validation_split <= kMaxSplit)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.validation_split is ", options.validation_split,
                     "; it must be 0 to ", kMaxSplit));
  }
  if (options.image_size != 0 && (options.image_size < kMinImageSize ||
                                  options.image_size > kMaxImageSize)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.image_size is ", options.image_size, "; it must be ",
                     kMinImageSize, " to ", kMaxImageSize));
  }
  struct stat info = {};
  if (::stat(options.path.c_str(), &info) != 0) {
    return ErrnoStatus(errno,
                       absl::StrCat("data.source: cannot find ", options.path));
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data.source: ", options.path, " is not a folder"));
  }
  return absl::OkStatus();
}

absl::StatusOr<RawParts> OpenFormat(const DataOptions& options, Labels labels) {
  switch (options.format) {
    case DataFormat::kIdx:
      return OpenIdx(options.path, labels);
    case DataFormat::kCifar10:
      return OpenCifar(options.path, CifarKind::k10);
    case DataFormat::kCifar100:
      return OpenCifar(options.path, CifarKind::k100);
    case DataFormat::kImageFolder:
      return OpenImageFolder(
          options.path,
          static_cast<int>(options.image_size == 0 ? kDefaultImageSize
                                                   : options.image_size),
          labels);
  }
  return absl::InvalidArgumentError("data.format is not set");
}

absl::Status CheckParts(const RawParts& parts, int fewest_classes,
                        const std::string& path) {
  const int classes = parts.train->num_classes();
  if (classes < fewest_classes || classes > kMaxClasses) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " has ", classes, " classes; it must have ",
                     fewest_classes, " to ", kMaxClasses));
  }
  if (parts.test == nullptr) return absl::OkStatus();
  const SampleShape train = parts.train->sample_shape();
  const SampleShape test = parts.test->sample_shape();
  if (train != test) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": training images are ", train.height, " x ",
                     train.width, " pixels, test images ", test.height, " x ",
                     test.width, "; they must be equal"));
  }
  return absl::OkStatus();
}

// At most max_samples of the training part.
std::unique_ptr<Dataset> Limit(std::unique_ptr<Dataset> train,
                               uint64_t max_samples, uint64_t seed) {
  if (max_samples == 0 || max_samples >= train->num_samples()) return train;
  std::vector<uint32_t> picked = PickStratified(
      train->labels(), train->num_classes(), max_samples, seed ^ kPickSalt);
  return std::make_unique<SubsetDataset>(std::move(train), std::move(picked));
}

absl::Status HoldOut(std::unique_ptr<Dataset> whole, double fraction,
                     const DataOptions& options, DatasetParts* parts) {
  const uint32_t total = whole->num_samples();
  std::vector<uint32_t> held = PickStratified(
      whole->labels(), whole->num_classes(), ShareOf(total, fraction),
      options.seed ^ kHoldOutSalt, /*leave_one=*/true);
  if (held.empty() || held.size() == total) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.path, ": ", total,
                     " training samples are too few to hold some out for "
                     "validation; a class "
                     "needs at least 2"));
  }
  std::vector<uint32_t> rest = Complement(total, held);
  const std::shared_ptr<const Dataset> shared = std::move(whole);
  parts->train = std::make_unique<SubsetDataset>(shared, std::move(rest));
  parts->validation = std::make_unique<SubsetDataset>(shared, std::move(held));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DataFormat> ParseDataFormat(absl::string_view name) {
  if (name == "idx") return DataFormat::kIdx;
  if (name == "cifar10") return DataFormat::kCifar10;
  if (name == "cifar100") return DataFormat::kCifar100;
  if (name == "image_folder") return DataFormat::kImageFolder;
  return absl::InvalidArgumentError(
      absl::StrCat("data.format is \"", CleanUtf8(name),
                   "\"; it must be idx, cifar10, cifar100 or image_folder"));
}

absl::StatusOr<DatasetParts> OpenDataset(const DataOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(RawParts raw, OpenFormat(options, Labels::kRequired));
  RETURN_IF_ERROR(CheckParts(raw, /*fewest_classes=*/2, options.path));
  raw.train = Limit(std::move(raw.train), options.max_samples, options.seed);

  DatasetParts parts;
  if (options.validation_split == 0 && raw.test != nullptr) {
    parts.train = std::move(raw.train);
    parts.validation = std::move(raw.test);
  } else {
    const double fraction = options.validation_split == 0
                                ? kDefaultSplit
                                : options.validation_split;
    RETURN_IF_ERROR(HoldOut(std::move(raw.train), fraction, options, &parts));
  }
  ASSIGN_OR_RETURN(parts.normalization, NormalizationOf(*parts.train));
  return parts;
}

absl::StatusOr<PredictedPart> OpenForPrediction(const DataOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  ASSIGN_OR_RETURN(RawParts raw, OpenFormat(options, Labels::kOptional));
  RETURN_IF_ERROR(CheckParts(raw, /*fewest_classes=*/0, options.path));
  PredictedPart part;
  ASSIGN_OR_RETURN(part.normalization, NormalizationOf(*raw.train));
  part.samples = std::move(raw.test != nullptr ? raw.test : raw.train);
  if (options.max_samples > 0 &&
      options.max_samples < part.samples->num_samples()) {
    part.samples = std::make_unique<SubsetDataset>(
        std::move(part.samples),
        SequentialOrder(static_cast<uint32_t>(options.max_samples)));
  }
  return part;
}

}  // namespace trainyard::data
