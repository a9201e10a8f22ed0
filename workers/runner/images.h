// From the loader's bytes to what a model is fed: on the device, as floats,
// normalised, and shifted and flipped while training where that is asked for.
//
//   ImageFeed feed({shape, normalization, device, augment, seed});
//   Fed fed = feed.ForTraining(batch, step);
//
// What an augmented batch looks like depends on (seed, step) alone, on every
// device. Not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "workers/runner/data/dataset.h"
#include "workers/runner/data/loader.h"

namespace trainyard::runner {

struct Fed {
  torch::Tensor images;  // N x C x H x W
  torch::Tensor labels;  // N, int64
};

struct ImageFeedOptions {
  data::SampleShape shape;
  data::Normalization normalization;
  torch::Device device = torch::kCPU;
  bool augment = false;
  uint64_t seed = 0;
};

class ImageFeed {
 public:
  explicit ImageFeed(const ImageFeedOptions& options);

  // On the CPU, labels borrow the batch.
  Fed ForTraining(const data::Batch& batch, uint64_t step) const;
  Fed ForValidation(const data::Batch& batch) const;

 private:
  Fed ToDevice(const data::Batch& batch) const;
  torch::Tensor Normalized(const torch::Tensor& pixels) const;

  const ImageFeedOptions options_;
  torch::Tensor scale_;   // pixel * scale + offset
  torch::Tensor offset_;  // 1 x C x 1 x 1
};

// Each of `images` (N x C x H x W) shifted by up to 1/8 of its sides, black
// where nothing is left; colour images are flipped left to right with even
// odds.
torch::Tensor Augmented(const torch::Tensor& images, uint64_t seed);

}  // namespace trainyard::runner
