// A model's forward by the fastest way there is: oneDNN directly on the CPU
// where the network is made of what that can do, else as LibTorch runs it.
//
//   FastForward forward(network, shape, [model](const at::Tensor& x) {
//     return model->forward(x);
//   });
//   at::Tensor logits = forward.Run(batch);
//
// The first batch goes both ways: unless the probabilities are equal within
// 1e-5, the plain way is taken from then on. Which way it is depends on the
// model and on the first batch alone, never on time. Not thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>

#include "workers/runner/data/dataset.h"
#include "workers/runner/ensemble/network.h"
#include "workers/runner/ensemble/onednn_plan.h"

namespace trainyard::runner {

class FastForward {
 public:
  using Plain = std::function<at::Tensor(const at::Tensor&)>;

  FastForward(std::optional<Network> network, const data::SampleShape& shape,
              Plain plain)
      : network_(std::move(network)), shape_(shape), plain_(std::move(plain)) {}

  at::Tensor Run(const at::Tensor& batch);

  // Whether oneDNN does it; known after the first batch.
  bool direct() const { return plan_ != nullptr; }

 private:
  void Decide(const at::Tensor& batch);

  std::optional<Network> network_;  // until it is decided
  const data::SampleShape shape_;
  Plain plain_;  // empty once plan_ is known to be right
  std::unique_ptr<OnednnPlan> plan_;
};

}  // namespace trainyard::runner
