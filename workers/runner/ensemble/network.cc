#include "workers/runner/ensemble/network.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace trainyard::runner {
namespace {

using torch::jit::Node;
using torch::jit::Value;

// Walks the nodes in order; every method says false for what has no place.
class Reader {
 public:
  std::optional<Network> Read(const torch::jit::Graph& graph) {
    const Value* batch = nullptr;
    for (const Value* in : graph.inputs()) {
      if (in->type()->cast<c10::TensorType>() != nullptr) {
        if (batch != nullptr) return std::nullopt;
        batch = in;
      } else if (in->hasUses()) {
        return std::nullopt;
      }
    }
    if (batch == nullptr || graph.outputs().size() != 1) return std::nullopt;
    values_[batch] = 0;
    for (const Node* node : graph.nodes()) {
      if (!Take(*node)) return std::nullopt;
    }
    const auto last = values_.find(graph.outputs()[0]);
    const int layers = static_cast<int>(network_.layers.size());
    if (last == values_.end() || layers == 0 || last->second != layers ||
        network_.layers.back().kind != Layer::Kind::kLinear) {
      return std::nullopt;
    }
    return std::move(network_);
  }

 private:
  bool Take(const Node& node) {
    const std::string kind = node.kind().toQualString();
    // Read where they are used.
    if (kind == "prim::Constant") return true;
    if (kind == "prim::ListConstruct") return true;
    if (kind == "prim::If") return OnlyComplains(node);
    if (node.outputs().size() != 1 || !node.blocks().empty()) return false;
    // What is overwritten must not be read by another.
    if (kind.back() == '_' && node.input(0)->uses().size() != 1) return false;
    if (kind == "aten::conv2d") return Convolution(node, 3, 4, 5, 6);
    if (kind == "aten::_convolution") {
      return Bool(node.input(6)) == false && Convolution(node, 3, 4, 5, 8);
    }
    if (kind == "aten::batch_norm") return BatchNorm(node);
    if (kind == "aten::relu" || kind == "aten::relu_") return Relu(node);
    if (kind == "aten::add" || kind == "aten::add_") return Add(node);
    if (kind == "aten::max_pool2d") return MaxPool(node);
    if (kind == "aten::adaptive_avg_pool2d") return Average(node);
    if (kind == "aten::linear") return Linear(node);
    if (kind == "aten::t") return Transposed(node);
    if (kind == "aten::addmm") return AddMm(node);
    if (kind == "aten::flatten") return Flatten(node);
    if (kind == "aten::view" || kind == "aten::reshape") return View(node);
    if (kind == "aten::size") {
      return node.inputs().size() == 1 || Size(node);
    }
    // Numbers that only OnlyComplains may read: nothing here takes them.
    if (kind == "aten::dim") return true;
    for (const char* check :
         {"aten::len", "aten::gt", "aten::lt", "aten::eq", "aten::ne",
          "aten::__contains__", "aten::__not__"}) {
      if (kind == check) {
        return !node.input(0)->type()->cast<c10::TensorType>();
      }
    }
    if (kind == "prim::NumToTensor" || kind == "aten::Int") {
      return SameSize(node);
    }
    if (kind == "aten::expand") return Expand(node);
    if (kind == "aten::dropout" || kind == "aten::dropout_" ||
        kind == "aten::feature_dropout" || kind == "aten::feature_dropout_") {
      return Bool(node.input(2)) == false && Same(node);
    }
    return false;
  }

  // A check of shapes, as PyTorch's Python functions begin with.
  static bool OnlyComplains(const Node& node) {
    if (!node.outputs().empty()) return false;
    for (const torch::jit::Block* block : node.blocks()) {
      for (const Node* inner : block->nodes()) {
        const auto kind = inner->kind();
        if (kind != c10::prim::RaiseException && kind != c10::prim::Constant &&
            kind != c10::Symbol::fromQualString("aten::warn") &&
            kind != c10::aten::format) {
          return false;
        }
      }
    }
    return true;
  }

  // --- constants ---------------------------------------------------------

  static std::optional<c10::IValue> Constant(const Value* value) {
    if (const auto plain = torch::jit::toIValue(value)) return *plain;
    const Node* list = value->node();
    if (list->kind() != c10::prim::ListConstruct) return std::nullopt;
    std::vector<int64_t> numbers;
    for (const Value* in : list->inputs()) {
      const auto one = torch::jit::toIValue(in);
      if (!one || !one->isInt()) return std::nullopt;
      numbers.push_back(one->toInt());
    }
    return c10::IValue(numbers);
  }
  static std::optional<bool> Bool(const Value* value) {
    const auto constant = Constant(value);
    if (!constant || !constant->isBool()) return std::nullopt;
    return constant->toBool();
  }
  static std::optional<std::vector<int64_t>> Ints(const Value* value) {
    const auto constant = Constant(value);
    if (!constant || !constant->isIntList()) return std::nullopt;
    return constant->toIntVector();
  }
  // Of two numbers, or of one for both.
  static bool ReadPair(const Value* value, Pair* to) {
    const auto numbers = Ints(value);
    if (!numbers || numbers->empty() || numbers->size() > 2) return false;
    *to = {numbers->front(), numbers->back()};
    return true;
  }
  // A float tensor; `to` stays undefined for None.
  static bool ReadTensor(const Value* value, at::Tensor* to) {
    const auto constant = Constant(value);
    if (!constant) return false;
    if (constant->isNone()) return true;
    if (!constant->isTensor()) return false;
    *to = constant->toTensor();
    return to->scalar_type() == at::kFloat;
  }

  // --- values ------------------------------------------------------------

  bool AnyInput(const Value* value, int* to) const {
    const auto found = values_.find(value);
    if (found == values_.end()) return false;
    *to = found->second;
    return true;
  }
  // One that is neither flattened nor expanded.
  bool Input(const Value* value, int* to) const {
    return !flat_.count(value) && !expanded_.count(value) &&
           AnyInput(value, to);
  }
  // The layer that makes `value`, if nothing but the next node reads it.
  Layer* OnlyFor(const Value* value, int number) {
    if (number == 0 || value->uses().size() != 1) return nullptr;
    return &network_.layers[static_cast<size_t>(number - 1)];
  }
  bool Push(const Node& node, Layer layer) {
    network_.layers.push_back(std::move(layer));
    values_[node.output()] = static_cast<int>(network_.layers.size());
    return true;
  }
  // The node's output is its input.
  bool Same(const Node& node) {
    int input = 0;
    if (!AnyInput(node.input(0), &input)) return false;
    values_[node.output()] = input;
    if (flat_.count(node.input(0))) flat_.insert(node.output());
    return !expanded_.count(node.input(0));
  }

  // --- layers ------------------------------------------------------------

  bool Convolution(const Node& node, size_t stride, size_t padding,
                   size_t dilation, size_t groups) {
    Layer layer{.kind = Layer::Kind::kConv};
    const auto group_count = Constant(node.input(groups));
    if (flat_.count(node.input(0)) || !AnyInput(node.input(0), &layer.input) ||
        !ReadTensor(node.input(1), &layer.weight) ||
        !ReadTensor(node.input(2), &layer.bias) ||
        !ReadPair(node.input(stride), &layer.stride) ||
        !ReadPair(node.input(padding), &layer.padding) ||
        !ReadPair(node.input(dilation), &layer.dilation) || !group_count ||
        !group_count->isInt() || !layer.weight.defined() ||
        layer.weight.dim() != 4) {
      return false;
    }
    layer.groups = group_count->toInt();
    // The same channel several times: as one channel with all their weights.
    if (expanded_.count(node.input(0))) {
      if (layer.groups != 1) return false;
      layer.weight = layer.weight.sum(1, /*keepdim=*/true);
    }
    if (!layer.bias.defined()) layer.bias = at::zeros({layer.weight.size(0)});
    return Push(node, std::move(layer));
  }

  // y = (x - mean) / sqrt(var + eps) * gamma + beta, taken into the
  // convolution that makes x.
  bool BatchNorm(const Node& node) {
    int input = 0;
    if (!Input(node.input(0), &input)) return false;
    Layer* conv = OnlyFor(node.input(0), input);
    at::Tensor gamma, beta, mean, variance;
    const auto epsilon = Constant(node.input(7));
    if (conv == nullptr || conv->kind != Layer::Kind::kConv || conv->relu ||
        conv->other >= 0 || Bool(node.input(5)) != false ||
        !ReadTensor(node.input(1), &gamma) ||
        !ReadTensor(node.input(2), &beta) ||
        !ReadTensor(node.input(3), &mean) ||
        !ReadTensor(node.input(4), &variance) || !mean.defined() ||
        !variance.defined() || !epsilon || !epsilon->isDouble()) {
      return false;
    }
    at::Tensor scale =
        at::rsqrt(variance.to(at::kDouble) + epsilon->toDouble());
    if (gamma.defined()) scale = scale * gamma.to(at::kDouble);
    at::Tensor shift = (conv->bias.to(at::kDouble) - mean) * scale;
    if (beta.defined()) shift = shift + beta;
    conv->scale = conv->scale.defined() ? conv->scale * scale : scale;
    conv->bias = shift.to(at::kFloat);
    values_[node.output()] = input;
    return true;
  }

  bool Relu(const Node& node) {
    int input = 0;
    if (!Input(node.input(0), &input)) return false;
    Layer* before = OnlyFor(node.input(0), input);
    // ReLU of a maximum is the maximum of ReLUs, which convolutions do for
    // nothing.
    if (before != nullptr && before->kind == Layer::Kind::kMaxPool &&
        pooled_alone_.count(node.input(0)) && before->input > 0) {
      Layer& earlier = network_.layers[static_cast<size_t>(before->input - 1)];
      if (earlier.kind == Layer::Kind::kConv) before = &earlier;
    }
    if (before != nullptr && before->kind != Layer::Kind::kMaxPool &&
        before->kind != Layer::Kind::kGlobalAverage) {
      before->relu = true;
      values_[node.output()] = input;
      return true;
    }
    return Push(node, {.kind = Layer::Kind::kRelu, .input = input});
  }

  bool Add(const Node& node) {
    Layer layer{.kind = Layer::Kind::kAdd};
    if (!Input(node.input(0), &layer.input) ||
        !Input(node.input(1), &layer.other) || !IsOne(node.input(2)) ||
        layer.input == layer.other) {
      return false;
    }
    // Into the later of the two, if that is a convolution.
    const bool first = layer.input > layer.other;
    Layer* conv =
        OnlyFor(node.input(first ? 0 : 1), std::max(layer.input, layer.other));
    if (conv != nullptr && conv->kind == Layer::Kind::kConv && !conv->relu &&
        conv->other < 0) {
      conv->other = std::min(layer.input, layer.other);
      values_[node.output()] = std::max(layer.input, layer.other);
      return true;
    }
    return Push(node, std::move(layer));
  }

  bool MaxPool(const Node& node) {
    Layer layer{.kind = Layer::Kind::kMaxPool};
    Pair dilation;
    if (!Input(node.input(0), &layer.input) ||
        !ReadPair(node.input(1), &layer.kernel) ||
        !ReadPair(node.input(3), &layer.padding) ||
        !ReadPair(node.input(4), &dilation) || dilation != Pair{1, 1} ||
        Bool(node.input(5)) != false) {
      return false;
    }
    // No stride: the kernel's extent.
    const auto stride = Ints(node.input(2));
    if (!stride) return false;
    layer.stride = layer.kernel;
    if (!stride->empty() && !ReadPair(node.input(2), &layer.stride)) {
      return false;
    }
    if (OnlyFor(node.input(0), layer.input) != nullptr) {
      pooled_alone_.insert(node.output());
    }
    return Push(node, std::move(layer));
  }

  bool Average(const Node& node) {
    Layer layer{.kind = Layer::Kind::kGlobalAverage};
    Pair size;
    return Input(node.input(0), &layer.input) &&
           ReadPair(node.input(1), &size) && size == Pair{1, 1} &&
           Push(node, std::move(layer));
  }

  bool Linear(const Node& node) {
    at::Tensor weight;
    at::Tensor bias;
    return ReadTensor(node.input(1), &weight) && weight.defined() &&
           ReadTensor(node.input(2), &bias) &&
           PushLinear(node, node.input(0), weight, bias);
  }

  // What a linear layer is to C++: addmm(bias, x, t(weight)).
  bool Transposed(const Node& node) {
    at::Tensor weight;
    if (!ReadTensor(node.input(0), &weight) || !weight.defined()) return false;
    transposed_[node.output()] = weight;
    return true;
  }
  bool AddMm(const Node& node) {
    const auto weight = transposed_.find(node.input(2));
    at::Tensor bias;
    return weight != transposed_.end() && ReadTensor(node.input(0), &bias) &&
           IsOne(node.input(3)) && IsOne(node.input(4)) &&
           PushLinear(node, node.input(1), weight->second, bias);
  }
  static bool IsOne(const Value* value) {
    const auto constant = Constant(value);
    return constant && constant->isInt() && constant->toInt() == 1;
  }

  bool PushLinear(const Node& node, const Value* input,
                  const at::Tensor& weight, const at::Tensor& bias) {
    Layer layer{.kind = Layer::Kind::kLinear};
    if (!AnyInput(input, &layer.input) || weight.dim() != 2) return false;
    const bool of_linear =
        layer.input > 0 &&
        network_.layers[static_cast<size_t>(layer.input - 1)].kind ==
            Layer::Kind::kLinear;
    if (!of_linear && !flat_.count(input)) return false;
    layer.weight = weight;
    layer.bias = bias.defined() ? bias : at::zeros({weight.size(0)});
    if (layer.bias.dim() != 1 || layer.bias.size(0) != weight.size(0)) {
      return false;
    }
    return Push(node, std::move(layer));
  }

  bool Flatten(const Node& node) {
    const auto start = Constant(node.input(1));
    const auto end = Constant(node.input(2));
    if (!start || !end || !start->isInt() || !end->isInt() ||
        start->toInt() != 1 || (end->toInt() != -1 && end->toInt() != 3)) {
      return false;
    }
    flat_.insert(node.output());
    return Same(node);
  }

  // x.view(x.size(0), -1) and its kin. How many columns there are shows when
  // they meet a linear layer.
  bool View(const Node& node) {
    const Node* list = node.input(1)->node();
    if (Ints(node.input(1))) {
      const auto sizes = *Ints(node.input(1));
      if (sizes.size() != 2 || sizes[0] != -1) return false;
    } else if (list->kind() != c10::prim::ListConstruct ||
               list->inputs().size() != 2 ||
               !batch_sizes_.count(list->input(0)) ||
               !torch::jit::toIValue(list->input(1))) {
      return false;
    }
    flat_.insert(node.output());
    return Same(node);
  }

  // The batch's size, as a number in one of several guises.
  bool Size(const Node& node) {
    const auto dim = Constant(node.input(1));
    int input = 0;
    if (!dim || !dim->isInt() || dim->toInt() != 0 ||
        !AnyInput(node.input(0), &input)) {
      return false;
    }
    batch_sizes_.insert(node.output());
    return true;
  }
  bool SameSize(const Node& node) {
    batch_sizes_.insert(node.output());
    return batch_sizes_.count(node.input(0)) > 0;
  }

  // One channel shown as several, as grey images to a network for colours.
  bool Expand(const Node& node) {
    const auto sizes = Ints(node.input(1));
    if (!sizes || sizes->size() != 4 || (*sizes)[0] != -1 ||
        (*sizes)[2] != -1 || (*sizes)[3] != -1) {
      return false;
    }
    int input = 0;
    if (!Input(node.input(0), &input) || input != 0) return false;
    values_[node.output()] = input;
    expanded_.insert(node.output());
    return true;
  }

  using Marks = std::unordered_set<const Value*>;

  Network network_;
  std::unordered_map<const Value*, int> values_;
  std::unordered_map<const Value*, at::Tensor> transposed_;  // what was
  Marks flat_;      // 4D values that are read as 2D
  Marks expanded_;  // the batch with its channel repeated
  Marks batch_sizes_;
  Marks pooled_alone_;  // of a value that nothing else reads
};

}  // namespace

at::Tensor Layer::ScaledWeight() const {
  if (!scale.defined()) return weight;
  return weight * scale.view({-1, 1, 1, 1}).to(at::kFloat);
}

std::optional<Network> ReadNetwork(const torch::jit::Graph& graph) {
  return Reader().Read(graph);
}

}  // namespace trainyard::runner
