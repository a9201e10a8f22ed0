#include "workers/runner/images.h"

#include <torch/nn/functional/padding.h>

#include <vector>

#include "workers/runner/data/prng.h"

namespace trainyard::runner {
namespace {

constexpr uint64_t kAugmentPurpose = 0x617567;  // keeps its draws to itself

// Where each row (or column) of each sample comes from, in an image padded by
// `margin`: N x extent.
torch::Tensor SourceIndex(int64_t samples, int64_t extent, int64_t margin,
                          bool flip, data::Prng& prng) {
  torch::Tensor index = torch::empty({samples, extent}, torch::kInt64);
  auto to = index.accessor<int64_t, 2>();
  for (int64_t n = 0; n < samples; ++n) {
    const auto shift =
        static_cast<int64_t>(prng.Below(static_cast<uint64_t>(2 * margin + 1)));
    const bool flipped = flip && prng.Below(2) == 1;
    for (int64_t i = 0; i < extent; ++i) {
      to[n][i] = shift + (flipped ? extent - 1 - i : i);
    }
  }
  return index;
}

}  // namespace

torch::Tensor Augmented(const torch::Tensor& images, uint64_t seed) {
  const int64_t samples = images.size(0);
  const int64_t height = images.size(2);
  const int64_t width = images.size(3);
  const int64_t dy = height / 8;
  const int64_t dx = width / 8;
  const bool colour = images.size(1) == 3;
  data::Prng prng(seed);
  const auto device = images.device();
  const torch::Tensor rows =
      SourceIndex(samples, height, dy, /*flip=*/false, prng).to(device);
  const torch::Tensor columns =
      SourceIndex(samples, width, dx, colour, prng).to(device);
  const torch::Tensor padded =
      torch::constant_pad_nd(images, {dx, dx, dy, dy}, 0);
  const torch::Tensor sample = torch::arange(
      samples, torch::TensorOptions(torch::kInt64).device(device));
  return padded.permute({0, 2, 3, 1})
      .index({sample.view({-1, 1, 1}), rows.unsqueeze(2), columns.unsqueeze(1)})
      .permute({0, 3, 1, 2});
}

ImageFeed::ImageFeed(const ImageFeedOptions& options) : options_(options) {
  const auto& [mean, stddev] = options_.normalization;
  std::vector<float> scale;
  std::vector<float> offset;
  for (size_t c = 0; c < mean.size(); ++c) {
    scale.push_back(1.0f / (255.0f * stddev[c]));
    offset.push_back(-mean[c] / stddev[c]);
  }
  const auto on_device = [&](const std::vector<float>& values) {
    return torch::tensor(values).view({1, -1, 1, 1}).to(options_.device);
  };
  scale_ = on_device(scale);
  offset_ = on_device(offset);
}

Fed ImageFeed::ForTraining(const data::Batch& batch, uint64_t step) const {
  Fed fed = ToDevice(batch);
  if (options_.augment) {
    fed.images = Augmented(
        fed.images,
        data::MixSeed(data::MixSeed(options_.seed, kAugmentPurpose), step));
  }
  fed.images = Normalized(fed.images);
  return fed;
}

Fed ImageFeed::ForValidation(const data::Batch& batch) const {
  Fed fed = ToDevice(batch);
  fed.images = Normalized(fed.images);
  return fed;
}

Fed ImageFeed::ToDevice(const data::Batch& batch) const {
  const data::SampleShape& shape = options_.shape;
  const int64_t samples = batch.size;
  const torch::Tensor pixels = torch::from_blob(
      batch.pixels, {samples, shape.channels, shape.height, shape.width},
      torch::kUInt8);
  const torch::Tensor labels =
      torch::from_blob(batch.labels, {samples}, torch::kInt64);
  return {pixels.to(options_.device), labels.to(options_.device)};
}

torch::Tensor ImageFeed::Normalized(const torch::Tensor& pixels) const {
  return pixels
      .to(torch::kFloat32, /*non_blocking=*/false, /*copy=*/false,
          torch::MemoryFormat::Contiguous)
      .mul_(scale_)
      .add_(offset_);
}

}  // namespace trainyard::runner
