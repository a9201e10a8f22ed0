// A model's forward by the fastest way there is: oneDNN directly on the CPU
// where the network is made of what that can do, else as LibTorch runs it.
//
//   FastForward forward([model] { return NetworkOf(*model); }, shape,
//                       [model](const at::Tensor& x) {
//     return model->forward(x);
//   });
//   at::Tensor logits = forward.Run(batch);
//
// The first samples go both ways: unless the probabilities are equal within
// 1e-5, the plain way is taken from then on. Which way it is depends on the
// model and on the first batch alone, never on time. Not thread-safe. One model
// at a time is prepared, so that only one is held twice.
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
  // Asked for once, at the first batch: its folded weights are copies, which
  // members that wait for theirs need not hold.
  using MakeNetwork = std::function<std::optional<Network>()>;

  // Called after each layer of which oneDNN has weights of its own: the plain
  // ones will hardly be read again. May be empty.
  using Packed = OnednnPlan::Packed;

  FastForward(MakeNetwork network, const data::SampleShape& shape, Plain plain,
              Packed packed = nullptr)
      : network_(std::move(network)),
        shape_(shape),
        plain_(std::move(plain)),
        packed_(std::move(packed)) {}

  at::Tensor Run(const at::Tensor& batch);

  // Whether oneDNN does it; known after the first batch.
  bool direct() const { return plan_ != nullptr; }

 private:
  // The first batch's logits.
  at::Tensor Decide(const at::Tensor& batch);

  MakeNetwork network_;  // empty once it is decided
  const data::SampleShape shape_;
  Plain plain_;  // empty once plan_ is known to be right
  Packed packed_;
  std::unique_ptr<OnednnPlan> plan_;
};

}  // namespace trainyard::runner
