// Some layers of a network, prepared for a fixed number of samples: weights
// packed once, values in one arena, ReLU and residual additions done by the
// convolutions.
//
//   std::unique_ptr<OnednnStage> stage = OnednnStage::Build(network, {8, 3,
//   64, 64}); stage->Run(memory);  // arena_bytes() of it, input() filled in
//
// Not thread-safe. Different stages may run at the same time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "workers/runner/ensemble/network.h"
#include "workers/runner/ensemble/onednn_primitives.h"

namespace trainyard::runner::onednn {

// How many channels lie side by side in values between layers (nChw16c).
inline constexpr int64_t kLanes = 16;

// Extents of what a layer gives; empty: it does not fit.
Dims ResultDims(const Layer& layer, const Dims& input);

// Where the first value comes from.
enum class Source {
  kBatch,  // samples as LibTorch has them
  kStage,  // another stage: by 16 channels
};

class OnednnStage {
 public:
  virtual ~OnednnStage() = default;

  // `layers`: their value 0 has `input` extents. Null: oneDNN cannot do one of
  // them, or a layer does not fit what is before it. Throws dnnl::error.
  // `packed` is called after each layer, which no longer needs its weights.
  static std::unique_ptr<OnednnStage> Build(
      const std::vector<Layer>& layers, const Dims& input, Source source,
      const std::function<void()>& packed);

  // Whether another stage can take the result as it lies: by 16 channels.
  virtual bool is_blocked() const = 0;
  virtual const Dims& result_dims() const = 0;

  // `arena` is aligned to Arena::kAlignment.
  virtual size_t arena_bytes() const = 0;
  virtual size_t input_bytes() const = 0;
  // The input lies at the arena's begin, the result is there after Run.
  virtual void Run(char* arena) = 0;
  virtual const float* result(const char* arena) const = 0;
};

}  // namespace trainyard::runner::onednn
