#include "workers/runner/ensemble/onednn_stage.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "workers/runner/ensemble/onednn_arena.h"
#include "workers/runner/ensemble/onednn_winograd.h"

namespace trainyard::runner::onednn {
namespace {

using dnnl::memory;
using Kind = Layer::Kind;

constexpr memory::data_type kFloat = memory::data_type::f32;
constexpr memory::format_tag kAny = memory::format_tag::any;

// oneDNN's Winograd weights take four times the memory and long to make: above
// this, our own is used or the layer is left direct, so that many members fit.
constexpr size_t kMostWinogradBytes = size_t{4} << 20;

struct Value {
  Dims dims;
  Desc desc;
  size_t offset = 0;
  int last_use = -1;  // a layer's index
};

// One primitive and the memories whose place is the arena, or what is done
// there without one.
struct Step {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;
  std::vector<std::pair<int, size_t>> in_arena;  // argument, offset
  std::function<void(char* arena)> own;          // instead of the primitive
};

class Stage : public OnednnStage {
 public:
  bool Prepare(const std::vector<Layer>& layers, const Dims& input,
               Source source, const std::function<void()>& packed) {
    values_.resize(layers.size() + 1);
    for (size_t i = 0; i < layers.size(); ++i) {
      const int number = static_cast<int>(i);
      values_[static_cast<size_t>(layers[i].input)].last_use = number;
      if (layers[i].other >= 0) {
        values_[static_cast<size_t>(layers[i].other)].last_use = number;
      }
    }
    Value& first = values_.front();
    first.dims = input;
    first.desc = Desc(input, kFloat,
                      source == Source::kStage ? memory::format_tag::nChw16c
                                               : memory::format_tag::nchw);
    first.offset = arena_.Take(first.desc.get_size());
    for (size_t i = 0; i < layers.size(); ++i) {
      if (!Add(layers[i], static_cast<int>(i))) return false;
      if (packed) packed();
    }
    return true;
  }

  bool is_blocked() const override {
    const Value& last = values_.back();
    return last.dims.size() == 4 && last.dims[1] % kLanes == 0 &&
           last.desc == Desc(last.dims, kFloat, memory::format_tag::nChw16c);
  }
  const Dims& result_dims() const override { return values_.back().dims; }
  size_t arena_bytes() const override { return arena_.size(); }
  size_t input_bytes() const override {
    return values_.front().desc.get_size();
  }

  void Run(char* arena) override {
    if (arena != placed_) Place(arena);
    for (const Step& step : steps_) {
      if (step.own) {
        stream_.wait();
        step.own(arena);
      } else {
        step.primitive.execute(stream_, step.arguments);
      }
    }
    stream_.wait();
  }

  const float* result(const char* arena) const override {
    return reinterpret_cast<const float*>(arena + values_.back().offset);
  }

 private:
  void Place(char* arena) {
    for (const Step& step : steps_) {
      for (const auto& [argument, offset] : step.in_arena) {
        step.arguments.at(argument).set_data_handle(arena + offset);
      }
    }
    placed_ = arena;
  }

  // Gives back what nothing after layer `number` reads.
  void Free(int number) {
    for (Value& value : values_) {
      if (value.last_use == number) arena_.Give(value.offset);
    }
  }

  memory InArena(Step& step, int argument, const Desc& desc, size_t offset) {
    memory place(desc, engine_, nullptr);
    step.arguments[argument] = place;
    step.in_arena.emplace_back(argument, offset);
    return place;
  }

  // Adds a primitive's scratchpad for as long as the step runs.
  template <typename PrimitiveDesc>
  void Push(Step step, const PrimitiveDesc& what) {
    const Desc pad = what.scratchpad_desc();
    if (pad.get_size() > 0) {
      const size_t offset = arena_.Take(pad.get_size());
      InArena(step, DNNL_ARG_SCRATCHPAD, pad, offset);
      arena_.Give(offset);
    }
    steps_.push_back(std::move(step));
  }

  // Where `value` lies as `desc`: itself, or a copy that is in *temporary.
  size_t As(const Value& value, const Desc& desc,
            std::optional<size_t>* temporary) {
    if (value.desc == desc) return value.offset;
    *temporary = arena_.Take(desc.get_size());
    Reorder(value.desc, value.offset, desc, **temporary);
    return **temporary;
  }
  void Reorder(const Desc& from, size_t from_offset, const Desc& to,
               size_t to_offset) {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::reorder::primitive_desc what(engine_, from, engine_, to,
                                             attributes);
    Step step{dnnl::reorder(what), {}, {}, {}};
    InArena(step, DNNL_ARG_FROM, from, from_offset);
    InArena(step, DNNL_ARG_TO, to, to_offset);
    Push(std::move(step), what);
  }

  // A copy of LibTorch's weights as the primitive wants them.
  memory Packed(const at::Tensor& weights, const Desc& plain,
                const Desc& packed) {
    const at::Tensor from = weights.contiguous();
    memory to(packed, engine_);
    memory source(plain, engine_, from.data_ptr());
    dnnl::reorder(source, to).execute(stream_, source, to);
    stream_.wait();
    return to;
  }

  // --- layers ------------------------------------------------------------

  bool Add(const Layer& layer, int number) {
    const Value& input = values_[static_cast<size_t>(layer.input)];
    bool done = false;
    switch (layer.kind) {
      case Kind::kConv:
        done = AddConvolution(layer, input, number);
        break;
      case Kind::kLinear:
        done = AddLinear(layer, input, number);
        break;
      case Kind::kMaxPool:
      case Kind::kGlobalAverage:
        done = AddPooling(layer, input, number);
        break;
      case Kind::kAdd:
      case Kind::kRelu:
        done = AddElementwise(layer, input, number);
        break;
    }
    if (done) Free(number);
    return done;
  }

  Value& Result(int number) { return values_[static_cast<size_t>(number) + 1]; }

  static Desc Blocked(const Dims& dims) {
    return Desc(dims, kFloat,
                dims[1] % kLanes == 0 ? memory::format_tag::nChw16c
                                      : memory::format_tag::any);
  }

  bool AddConvolution(const Layer& layer, const Value& input, int number) {
    const at::Tensor& weight = layer.weight;
    const Dims dims = ResultDims(layer, input.dims);
    if (dims.empty()) return false;
    const Value* other = nullptr;
    if (layer.other >= 0) {
      other = &values_[static_cast<size_t>(layer.other)];
      if (other->dims != dims) return false;
    }
    Dims weight_dims = weight.sizes().vec();
    memory::format_tag weight_tag = memory::format_tag::oihw;
    if (layer.groups > 1) {
      weight_dims[0] /= layer.groups;
      weight_dims.insert(weight_dims.begin(), layer.groups);
      weight_tag = memory::format_tag::goihw;
    }
    const bool few_channels = input.dims[1] % kLanes != 0;
    const ConvShapes shapes{
        few_channels ? Desc(input.dims, kFloat, kAny) : Blocked(input.dims),
        Desc(weight_dims, kFloat, kAny),
        Desc({dims[1]}, kFloat, memory::format_tag::a),
        other != nullptr ? other->desc : Blocked(dims)};
    const Ending ending{other != nullptr, layer.relu};
    if (FitsWinograd(layer)) {
      auto what = Convolution(engine_, dnnl::algorithm::convolution_winograd,
                              shapes, layer, ending);
      if (what && what.weights_desc().get_size() <= kMostWinogradBytes) {
        return PushConvolution(layer, what, shapes, weight_tag, input, number);
      }
      const WinogradShape shape{.samples = input.dims[0],
                                .channels = input.dims[1],
                                .height = input.dims[2],
                                .width = input.dims[3],
                                .results = dims[1],
                                .padding = layer.padding};
      if (shapes.result == Blocked(dims) && WinogradConvolution::Supported() &&
          WinogradConvolution::Gains(shape)) {
        PushWinograd(layer, shape, ending, input, number);
        return true;
      }
    }
    return PushConvolution(
        layer,
        Convolution(engine_, dnnl::algorithm::convolution_direct, shapes, layer,
                    ending),
        shapes, weight_tag, input, number);
  }

  bool PushConvolution(const Layer& layer,
                       const dnnl::convolution_forward::primitive_desc& what,
                       const ConvShapes& shapes, memory::format_tag weight_tag,
                       const Value& input, int number) {
    if (!what) return false;
    std::optional<size_t> temporary;
    const size_t source = As(input, what.src_desc(), &temporary);
    const Value& result = PlaceConvolution(layer, DimsOf(shapes.result),
                                           what.dst_desc(), source, number);
    Step step{dnnl::convolution_forward(what), {}, {}, {}};
    InArena(step, DNNL_ARG_SRC, what.src_desc(), source);
    InArena(step, DNNL_ARG_DST, result.desc, result.offset);
    step.arguments[DNNL_ARG_WEIGHTS] = Packed(
        layer.ScaledWeight(), Desc(DimsOf(shapes.weights), kFloat, weight_tag),
        what.weights_desc());
    step.arguments[DNNL_ARG_BIAS] =
        Packed(layer.bias, shapes.bias, shapes.bias);
    Push(std::move(step), what);
    if (temporary) arena_.Give(*temporary);
    return true;
  }

  void PushWinograd(const Layer& layer, const WinogradShape& shape,
                    Ending ending, const Value& input, int number) {
    std::optional<size_t> temporary;
    const size_t from = As(input, Blocked(input.dims), &temporary);
    const Dims dims = ResultDims(layer, input.dims);
    const size_t to =
        PlaceConvolution(layer, dims, Blocked(dims), from, number).offset;
    const auto convolution = std::make_shared<const WinogradConvolution>(
        shape, layer.ScaledWeight(), layer.bias, ending);
    const size_t scratch =
        arena_.Take(static_cast<size_t>(convolution->scratch_bytes()));
    Step step;
    step.own = [convolution, from, to, scratch](char* arena) {
      convolution->Run(reinterpret_cast<const float*>(arena + from),
                       reinterpret_cast<float*>(arena + to),
                       reinterpret_cast<float*>(arena + scratch));
    };
    steps_.push_back(std::move(step));
    arena_.Give(scratch);
    if (temporary) arena_.Give(*temporary);
  }

  static bool FitsWinograd(const Layer& layer) {
    const at::Tensor& weight = layer.weight;
    return weight.size(2) == 3 && weight.size(3) == 3 &&
           layer.stride == Pair{1, 1} && layer.dilation == Pair{1, 1} &&
           layer.groups == 1 && weight.size(0) % kLanes == 0 &&
           weight.size(1) % kLanes == 0;
  }

  // The result's place: a new one, or that of what it is added to.
  const Value& PlaceConvolution(const Layer& layer, const Dims& dims,
                                const Desc& desc, size_t source, int number) {
    const size_t offset = layer.other < 0 ? arena_.Take(desc.get_size())
                                          : Over(layer.other, number, source);
    Value& result = Result(number);
    result.dims = dims;
    result.desc = desc;
    result.offset = offset;
    return result;
  }

  // The place of value `other` for a result that is added to it; a copy's
  // place if it is read after that, or while that goes on.
  size_t Over(int other, int number, size_t source) {
    Value& value = values_[static_cast<size_t>(other)];
    if (value.last_use == number && value.offset != source) {
      value.last_use = -1;  // its bytes live on as the result
      return value.offset;
    }
    const size_t offset = arena_.Take(value.desc.get_size());
    Reorder(value.desc, value.offset, value.desc, offset);
    return offset;
  }

  bool AddLinear(const Layer& layer, const Value& input, int number) {
    int64_t columns = 1;
    for (size_t i = 1; i < input.dims.size(); ++i) columns *= input.dims[i];
    const at::Tensor& weight = layer.weight;
    if (weight.dim() != 2 || weight.size(1) != columns) return false;
    Dims weight_dims = input.dims;
    weight_dims[0] = weight.size(0);
    const Dims dims = {input.dims[0], weight.size(0)};
    const ConvShapes shapes{Desc(input.dims, kFloat, kAny),
                            Desc(weight_dims, kFloat, kAny),
                            Desc({dims[1]}, kFloat, memory::format_tag::a),
                            Desc(dims, kFloat, memory::format_tag::nc)};
    const auto what = InnerProduct(engine_, shapes, {.relu = layer.relu});
    Value& result = Result(number);
    result.dims = dims;
    result.desc = what.dst_desc();
    std::optional<size_t> temporary;
    const size_t source = As(input, what.src_desc(), &temporary);
    result.offset = arena_.Take(result.desc.get_size());
    Step step{dnnl::inner_product_forward(what), {}, {}, {}};
    InArena(step, DNNL_ARG_SRC, what.src_desc(), source);
    InArena(step, DNNL_ARG_DST, result.desc, result.offset);
    step.arguments[DNNL_ARG_WEIGHTS] =
        Packed(weight,
               Desc(weight_dims, kFloat,
                    weight_dims.size() == 4 ? memory::format_tag::oihw
                                            : memory::format_tag::oi),
               what.weights_desc());
    step.arguments[DNNL_ARG_BIAS] =
        Packed(layer.bias, shapes.bias, shapes.bias);
    Push(std::move(step), what);
    if (temporary) arena_.Give(*temporary);
    return true;
  }

  bool AddPooling(const Layer& layer, const Value& input, int number) {
    const Dims dims = ResultDims(layer, input.dims);
    if (dims.empty()) return false;
    const Pair kernel = layer.kind == Kind::kMaxPool
                            ? layer.kernel
                            : Pair{input.dims[2], input.dims[3]};
    const auto what =
        Pooling(engine_, input.desc, Desc(dims, kFloat, kAny), layer, kernel);
    Value& result = Result(number);
    result.dims = dims;
    result.desc = what.dst_desc();
    result.offset = arena_.Take(result.desc.get_size());
    Step step{dnnl::pooling_forward(what), {}, {}, {}};
    InArena(step, DNNL_ARG_SRC, input.desc, input.offset);
    InArena(step, DNNL_ARG_DST, result.desc, result.offset);
    Push(std::move(step), what);
    return true;
  }

  bool AddElementwise(const Layer& layer, const Value& input, int number) {
    Value& result = Result(number);
    result.dims = input.dims;
    result.desc = input.desc;
    result.offset = arena_.Take(result.desc.get_size());
    Step step;
    InArena(step, DNNL_ARG_DST, result.desc, result.offset);
    if (layer.kind == Kind::kRelu) {
      const auto what = Relu(engine_, input.desc);
      step.primitive = dnnl::eltwise_forward(what);
      InArena(step, DNNL_ARG_SRC, input.desc, input.offset);
      Push(std::move(step), what);
      return true;
    }
    const Value& other = values_[static_cast<size_t>(layer.other)];
    if (other.dims != input.dims) return false;
    const auto what =
        Addition(engine_, input.desc, other.desc, {.relu = layer.relu});
    step.primitive = dnnl::binary(what);
    InArena(step, DNNL_ARG_SRC_0, input.desc, input.offset);
    InArena(step, DNNL_ARG_SRC_1, other.desc, other.offset);
    Push(std::move(step), what);
    return true;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  Arena arena_;
  std::vector<Value> values_;
  std::vector<Step> steps_;
  char* placed_ = nullptr;  // where the steps' memories are
};

}  // namespace

// Extents of what a convolution or pooling gives; empty: it does not fit.
Dims ResultDims(const Layer& layer, const Dims& input) {
  if (input.size() != 4) return {};
  if (layer.kind == Kind::kGlobalAverage) return {input[0], input[1], 1, 1};
  const bool conv = layer.kind == Kind::kConv;
  const at::Tensor& weight = layer.weight;
  if (conv && (input[1] != weight.size(1) * layer.groups ||
               weight.size(0) % layer.groups != 0)) {
    return {};
  }
  Dims dims = {input[0], conv ? weight.size(0) : input[1], 0, 0};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t kernel =
        conv ? weight.size(static_cast<int64_t>(i) + 2) : layer.kernel[i];
    const int64_t reach = layer.dilation[i] * (kernel - 1) + 1;
    const int64_t room = input[i + 2] + 2 * layer.padding[i] - reach;
    if (room < 0) return {};
    dims[i + 2] = room / layer.stride[i] + 1;
  }
  return dims;
}

std::unique_ptr<OnednnStage> OnednnStage::Build(
    const std::vector<Layer>& layers, const Dims& input, Source source,
    const std::function<void()>& packed) {
  auto stage = std::make_unique<Stage>();
  if (!stage->Prepare(layers, input, source, packed)) return nullptr;
  return stage;
}

}  // namespace trainyard::runner::onednn
