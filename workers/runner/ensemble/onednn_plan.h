// A Network on the CPU by oneDNN itself: weights packed once, one arena for
// all values, ReLU and residual additions done by the convolutions, and
// Winograd's algorithm (Lavin & Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2016) where a 3x3 convolution gains by it; LibTorch 1.13 does the
// first three only in part and the last never. Layers with few values and many
// weights take larger blocks of samples than those before them.
//
//   std::unique_ptr<OnednnPlan> plan = OnednnPlan::Build(network, {3, 64, 64},
//   16); at::Tensor logits = plan->Run(images);
//
// Not thread-safe. Different plans may run at the same time.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/network.h"

namespace trainyard::runner {

class OnednnPlan {
 public:
  virtual ~OnednnPlan() = default;

  // Whether this build has oneDNN.
  static bool Built();

  // Called after each layer whose weights were copied.
  using Packed = std::function<void()>;

  // For batches of any size, best of `samples`, done some samples at a time,
  // with as many threads as LibTorch has in the calling thread. Null: this
  // build has no oneDNN, or it cannot do this network. The weights are copied.
  static std::unique_ptr<OnednnPlan> Build(const Network& network,
                                           const data::SampleShape& shape,
                                           int64_t samples,
                                           const Packed& packed = nullptr);

  // images: N x C x H x W, F32, contiguous. Returns N x classes.
  virtual at::Tensor Run(const at::Tensor& images) = 0;
};

}  // namespace trainyard::runner
