// The network behind every built-in architecture: images in, one logit per
// class out.
#pragma once

#include <torch/nn.h>

#include <cstdint>

namespace trainyard::runner {

// Not thread-safe.
class ImageModel : public torch::nn::Module {
 public:
  // images: N x C x H x W, normalised floats. Returns N x classes.
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;

  // The fewest samples one training step takes: 2 where batch normalisation
  // would otherwise see a single value per channel.
  virtual int64_t min_training_batch() const { return 1; }
};

}  // namespace trainyard::runner
