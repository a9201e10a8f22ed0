// What every dataset looks like to training and prediction: uint8 images of one
// shape, with or without labels, read by index.
//
//   ASSIGN_OR_RETURN(DatasetParts parts, OpenDataset({.format =
//   DataFormat::kIdx,
//                                                     .path =
//                                                     "/data/glyphs"}));
//   parts.train->Read({7, 3}, pixels, labels);  // pixels: 2 x C x H x W
//
// Status codes, everywhere in this folder: INVALID_ARGUMENT, NOT_FOUND,
// PERMISSION_DENIED and DATA_LOSS blame the options or the data (the user can
// mend it); RESOURCE_EXHAUSTED is memory; others blame the machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace trainyard::data {

// Extent of one sample.
struct SampleShape {
  int channels = 0;
  int height = 0;
  int width = 0;
  // Bytes of one sample.
  int64_t size() const { return int64_t{1} * channels * height * width; }
  friend bool operator==(const SampleShape&, const SampleShape&) = default;
};

// The label of a sample whose class is not known.
inline constexpr int32_t kNoLabel = -1;

// Either every sample has a label or none has. Thread-safe: all methods may run
// at once from many threads.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual uint32_t num_samples() const = 0;
  virtual SampleShape sample_shape() const = 0;
  // One name per class, in order of the label: its size is the number of
  // classes, 0 where there are no labels. UTF-8.
  virtual const std::vector<std::string>& class_names() const = 0;
  // Of each sample, in [0, num_classes()); without labels kNoLabel.
  virtual absl::Span<const int32_t> labels() const = 0;
  // True when Read only copies memory; false when it reads and decodes files.
  virtual bool in_memory() const = 0;
  // Copies the samples with these indices: pixels gets indices.size() *
  // sample_shape().size() bytes (N, C, H, W; 0 to 255), labels indices.size()
  // values. Blocks on disk where in_memory() is false. An error names the file;
  // what was written before it is undefined.
  virtual absl::Status Read(absl::Span<const uint32_t> indices, uint8_t* pixels,
                            int64_t* labels) const = 0;
  // The sample's file, relative to the dataset's folder, UTF-8; "" where
  // samples have no files of their own.
  virtual std::string sample_name(uint32_t index) const { return ""; }

  int num_classes() const { return static_cast<int>(class_names().size()); }
};

enum class DataFormat { kIdx, kCifar10, kCifar100, kImageFolder };

// "idx", "cifar10", "cifar100" or "image_folder"; INVALID_ARGUMENT otherwise.
absl::StatusOr<DataFormat> ParseDataFormat(absl::string_view name);

// DataSpec of proto/trainyard/v1/training.proto, as far as reading goes.
struct DataOptions {
  DataFormat format = DataFormat::kIdx;
  // The folder.
  std::string path;
  // Part of the training samples held out, in [0, 0.9]. 0: the dataset's own
  // test part where it has one, else 0.1.
  double validation_split = 0;
  // Side in pixels of an image folder's samples, 8 to 4,096; 0 means 224.
  uint32_t image_size = 0;
  // Use at most this many training samples, picked by `seed` and in proportion
  // to the classes, before any are held out. 0: all.
  uint64_t max_samples = 0;
  // Decides which samples are picked and held out.
  uint64_t seed = 0;
};

// Normalised pixel = (pixel / 255 - mean[c]) / stddev[c].
struct Normalization {
  std::vector<float> mean;
  // Never 0.
  std::vector<float> stddev;
};

// Same shape and class names in both, every sample labelled; neither is null
// nor empty.
struct DatasetParts {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> validation;
  // From the training part where it is in memory, ImageNet's for image folders.
  Normalization normalization;
};

// Checks the options, finds and checks the files (images of a folder are only
// listed), splits. Errors name the option or the file.
absl::StatusOr<DatasetParts> OpenDataset(const DataOptions& options);

struct PredictedPart {
  std::unique_ptr<Dataset> samples;  // neither null nor empty
  // What OpenDataset gives where the data has a test part; else over all
  // samples.
  Normalization normalization;
};

// What is there to be predicted: the test part, or everything where there is
// none; of it the first max_samples. Labels may be missing, of that part or of
// all. validation_split and seed mean nothing.
absl::StatusOr<PredictedPart> OpenForPrediction(const DataOptions& options);

}  // namespace trainyard::data
