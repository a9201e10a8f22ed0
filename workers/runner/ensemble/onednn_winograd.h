// 3x3 convolutions of stride 1 by Winograd's algorithm F(4x4, 3x3) (Lavin &
// Gray, "Fast Algorithms for Convolutional Neural Networks", 2016) for layers
// with many channels. oneDNN's keeps its transformed weights, four times as
// large as they were; here they are transformed anew at every run, a slice at a
// time, which is little beside a block of samples, so that a member of an
// ensemble costs no more memory than its weights.
//
//   WinogradConvolution convolution(shape, weight, bias, {.relu = true});
//   convolution.Run(source, result, scratch);  // scratch_bytes() of it
//
// Values are in blocks of 16 channels (oneDNN's nChw16c). Thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "workers/runner/ensemble/onednn_primitives.h"

namespace trainyard::runner::onednn {

struct WinogradShape {
  int64_t samples = 0;
  int64_t channels = 0;  // a multiple of 16, as are the results
  int64_t height = 0;
  int64_t width = 0;
  int64_t results = 0;
  Pair padding = {0, 0};

  int64_t result_height() const { return height + 2 * padding[0] - 2; }
  int64_t result_width() const { return width + 2 * padding[1] - 2; }
  // Of 4 x 4 results, in all samples.
  int64_t tiles() const {
    return samples * ((result_height() + 3) / 4) * ((result_width() + 3) / 4);
  }
};

class WinogradConvolution {
 public:
  // Whether this machine has instructions that make it worth while.
  static bool Supported();
  // Whether it is quicker than a direct convolution, as measured on one core:
  // the weights' transform takes as long as some 40 tiles.
  static bool Gains(const WinogradShape& shape) {
    const int64_t results =
        shape.samples * shape.result_height() * shape.result_width();
    return (shape.tiles() + 40) * 6 < results;
  }

  // weight: results x channels x 3 x 3; copied. bias: results.
  WinogradConvolution(const WinogradShape& shape, const at::Tensor& weight,
                      const at::Tensor& bias, Ending ending);

  // Where the ending adds, `result` holds what is added to. `scratch` is
  // aligned to 64 bytes. Uses as many threads as LibTorch has in this one.
  void Run(const float* source, float* result, float* scratch) const;

  int64_t scratch_bytes() const;

 private:
  const WinogradShape shape_;
  const at::Tensor weight_;  // channels x 3 x 3 x results
  const at::Tensor bias_;
  const Ending ending_;
};

}  // namespace trainyard::runner::onednn
