// A network as a flat list of layers with constant weights, read from a
// TorchScript graph: batch normalisation folded into convolutions, ReLU and
// residual additions fused into what computes them.
//
//   std::optional<Network> network = ReadNetwork(*frozen_graph);
//   if (!network) ...  // something in it has no place here: run the graph
//
// Values have numbers: 0 is the batch, i + 1 the output of layers[i]; the last
// layer gives the logits. Plain data.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace torch::jit {
struct Graph;
}

namespace trainyard::runner {

using Pair = std::array<int64_t, 2>;  // height, width

struct Layer {
  enum class Kind {
    kConv,           // 2D
    kLinear,         // of 2D or, flattened, of 4D values
    kAdd,            // of two values of one shape
    kRelu,           // that nothing took up
    kMaxPool,        // 2D
    kGlobalAverage,  // N x C x H x W to N x C x 1 x 1
  };
  Kind kind;
  int input = 0;
  int other = -1;          // added to the result, before ReLU; -1: nothing
  bool relu = false;       // at the end
  at::Tensor weight = {};  // as LibTorch has it; conv and linear
  at::Tensor scale = {};   // of each result's weights; undefined: 1; conv
  at::Tensor bias = {};    // always there; conv and linear
  Pair kernel = {1, 1};    // max pooling
  Pair stride = {1, 1};    // conv, max pooling
  Pair padding = {0, 0};   // conv, max pooling
  Pair dilation = {1, 1};  // conv
  int64_t groups = 1;      // conv

  // With the scale: a copy, made when it is asked for, so that a network holds
  // its weights only once.
  at::Tensor ScaledWeight() const;
};

struct Network {
  std::vector<Layer> layers;
};

// `graph`: inlined, weights as constants, one tensor in (besides a module
// without uses) and one out. Nothing when it has anything but the layers
// above.
std::optional<Network> ReadNetwork(const torch::jit::Graph& graph);

}  // namespace trainyard::runner
