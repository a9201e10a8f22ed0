#include "workers/runner/ensemble/onednn_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "workers/runner/ensemble/onednn_arena.h"
#include "workers/runner/ensemble/onednn_primitives.h"

namespace trainyard::runner {
namespace {

using dnnl::memory;
using onednn::Arena;
using onednn::Desc;
using onednn::Dims;
using Kind = Layer::Kind;

constexpr memory::data_type kFloat = memory::data_type::f32;
constexpr memory::format_tag kAny = memory::format_tag::any;

// Winograd's weights take four times the memory; above this a layer is left
// direct, so that many members fit.
constexpr size_t kMostWinogradBytes = size_t{12} << 20;
// Channels are blocked by this many.
constexpr int64_t kLanes = 16;

// The most bytes of one value of a block, so that blocks of large images stay
// near the cores and the arena stays small.
constexpr int64_t kMostValueBytes = int64_t{32} << 20;
constexpr int64_t kFewestSamples = 4;
constexpr int64_t kMostSamples = 32;

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

// Of one sample, over all values; what does not fit counts as nothing.
int64_t LargestValueBytes(const Network& network,
                          const data::SampleShape& shape) {
  std::vector<Dims> values = {{1, shape.channels, shape.height, shape.width}};
  int64_t largest = 1;
  for (const Layer& layer : network.layers) {
    const Dims& input = values[static_cast<size_t>(layer.input)];
    const bool same = layer.kind == Kind::kAdd || layer.kind == Kind::kRelu;
    values.push_back(same ? input : ResultDims(layer, input));
    int64_t bytes = values.back().empty() ? 0 : int64_t{sizeof(float)};
    for (const int64_t extent : values.back()) bytes *= extent;
    largest = std::max(largest, bytes);
  }
  return largest;
}

// Of the blocks that are not too large, and not less than half as large as they
// may be, the one that leaves the fewest places empty.
int64_t BlockFor(int64_t samples, int64_t sample_bytes) {
  const int64_t most = std::min(
      samples,
      std::clamp(kMostValueBytes / sample_bytes, kFewestSamples, kMostSamples));
  int64_t best = most;
  const auto places = [&](int64_t block) {
    return (samples + block - 1) / block * block;
  };
  for (int64_t block = most; block > most / 2; --block) {
    if (places(block) < places(best)) best = block;
  }
  return best;
}

struct Value {
  Dims dims;
  Desc desc;
  size_t offset = 0;
  int last_use = -1;  // a layer's index
};

// One primitive and the memories whose place is the arena.
struct Step {
  dnnl::primitive primitive;
  std::unordered_map<int, memory> arguments;
  std::vector<std::pair<int, size_t>> in_arena;  // argument, offset
};

class Plan : public OnednnPlan {
 public:
  at::Tensor Run(const at::Tensor& images) override {
    const at::Tensor batch = images.contiguous();
    const int64_t samples = batch.size(0);
    at::Tensor logits = at::empty({samples, classes_});
    const int64_t sample_floats = batch.numel() / std::max<int64_t>(samples, 1);
    char* arena = Scratch();
    for (const Step& step : steps_) {
      for (const auto& [argument, offset] : step.in_arena) {
        step.arguments.at(argument).set_data_handle(arena + offset);
      }
    }
    for (int64_t first = 0; first < samples; first += block_) {
      const int64_t count = std::min(block_, samples - first);
      const float* from = batch.data_ptr<float>() + first * sample_floats;
      auto* to = reinterpret_cast<float*>(arena + values_.front().offset);
      std::copy(from, from + count * sample_floats, to);
      std::fill(to + count * sample_floats, to + block_ * sample_floats, 0.0f);
      for (const Step& step : steps_) {
        step.primitive.execute(stream_, step.arguments);
      }
      stream_.wait();
      const auto* out =
          reinterpret_cast<const float*>(arena + values_.back().offset);
      std::copy(out, out + count * classes_,
                logits.data_ptr<float>() + first * classes_);
    }
    return logits;
  }

  int64_t weight_bytes() const override { return weight_bytes_; }
  int64_t arena_bytes() const override {
    return static_cast<int64_t>(arena_.size());
  }

  // False: a layer does not fit what is before it. Throws dnnl::error.
  bool Prepare(const Network& network, const data::SampleShape& shape,
               int64_t block) {
    block_ = block;
    values_.resize(network.layers.size() + 1);
    for (size_t i = 0; i < network.layers.size(); ++i) {
      const Layer& layer = network.layers[i];
      const int number = static_cast<int>(i);
      values_[static_cast<size_t>(layer.input)].last_use = number;
      if (layer.other >= 0) {
        values_[static_cast<size_t>(layer.other)].last_use = number;
      }
    }
    Value& batch = values_.front();
    batch.dims = {block, shape.channels, shape.height, shape.width};
    batch.desc = Desc(batch.dims, kFloat, memory::format_tag::nchw);
    batch.offset = arena_.Take(batch.desc.get_size());
    for (size_t i = 0; i < network.layers.size(); ++i) {
      if (!Add(network.layers[i], static_cast<int>(i))) return false;
    }
    if (values_.back().dims.size() != 2) return false;
    classes_ = values_.back().dims[1];
    return true;
  }

 private:
  // --- memory ------------------------------------------------------------

  // One piece per thread for all plans that run on it, one after the other.
  char* Scratch() const {
    thread_local at::Tensor scratch;
    const auto wanted = static_cast<int64_t>(arena_.size() + Arena::kAlignment);
    if (!scratch.defined() || scratch.numel() < wanted) {
      scratch = at::Tensor();  // the old one goes first
      scratch = at::empty({wanted}, at::kByte);
    }
    const auto begin = reinterpret_cast<uintptr_t>(scratch.data_ptr());
    return reinterpret_cast<char*>((begin + Arena::kAlignment - 1) /
                                   Arena::kAlignment * Arena::kAlignment);
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
    Step step{dnnl::reorder(what), {}, {}};
    InArena(step, DNNL_ARG_FROM, from, from_offset);
    InArena(step, DNNL_ARG_TO, to, to_offset);
    Push(std::move(step), what);
  }

  // A copy of LibTorch's weights as the primitive wants them.
  memory Packed(const at::Tensor& weights, const Desc& plain,
                const Desc& packed) {
    const at::Tensor from = weights.contiguous();
    memory to(packed, engine_);
    weight_bytes_ += static_cast<int64_t>(packed.get_size());
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
    const onednn::ConvShapes shapes{
        few_channels ? Desc(input.dims, kFloat, kAny) : Blocked(input.dims),
        Desc(weight_dims, kFloat, kAny),
        Desc({dims[1]}, kFloat, memory::format_tag::a),
        other != nullptr ? other->desc : Blocked(dims)};
    const onednn::Ending ending{other != nullptr, layer.relu};
    const auto what = Choose(layer, shapes, ending);
    if (!what) return false;

    Value& result = Result(number);
    result.dims = dims;
    result.desc = what.dst_desc();
    std::optional<size_t> temporary;
    const size_t source = As(input, what.src_desc(), &temporary);
    if (other == nullptr) {
      result.offset = arena_.Take(result.desc.get_size());
    } else {
      result.offset = Over(layer.other, number, source);
    }
    Step step{dnnl::convolution_forward(what), {}, {}};
    InArena(step, DNNL_ARG_SRC, what.src_desc(), source);
    InArena(step, DNNL_ARG_DST, result.desc, result.offset);
    step.arguments[DNNL_ARG_WEIGHTS] = Packed(
        weight, Desc(weight_dims, kFloat, weight_tag), what.weights_desc());
    step.arguments[DNNL_ARG_BIAS] =
        Packed(layer.bias, shapes.bias, shapes.bias);
    Push(std::move(step), what);
    if (temporary) arena_.Give(*temporary);
    return true;
  }

  dnnl::convolution_forward::primitive_desc Choose(
      const Layer& layer, const onednn::ConvShapes& shapes,
      onednn::Ending ending) const {
    const at::Tensor& weight = layer.weight;
    const bool winograd = weight.size(2) == 3 && weight.size(3) == 3 &&
                          layer.stride == Pair{1, 1} &&
                          layer.dilation == Pair{1, 1} && layer.groups == 1 &&
                          weight.size(0) % kLanes == 0 &&
                          weight.size(1) % kLanes == 0;
    if (winograd) {
      auto what =
          onednn::Convolution(engine_, dnnl::algorithm::convolution_winograd,
                              shapes, layer, ending);
      if (what && what.weights_desc().get_size() <= kMostWinogradBytes) {
        return what;
      }
    }
    return onednn::Convolution(engine_, dnnl::algorithm::convolution_direct,
                               shapes, layer, ending);
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
    const Dims dims = {block_, weight.size(0)};
    const onednn::ConvShapes shapes{
        Desc(input.dims, kFloat, kAny), Desc(weight_dims, kFloat, kAny),
        Desc({dims[1]}, kFloat, memory::format_tag::a),
        Desc(dims, kFloat, memory::format_tag::nc)};
    const auto what =
        onednn::InnerProduct(engine_, shapes, {.relu = layer.relu});
    Value& result = Result(number);
    result.dims = dims;
    result.desc = what.dst_desc();
    std::optional<size_t> temporary;
    const size_t source = As(input, what.src_desc(), &temporary);
    result.offset = arena_.Take(result.desc.get_size());
    Step step{dnnl::inner_product_forward(what), {}, {}};
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
    const auto what = onednn::Pooling(engine_, input.desc,
                                      Desc(dims, kFloat, kAny), layer, kernel);
    Value& result = Result(number);
    result.dims = dims;
    result.desc = what.dst_desc();
    result.offset = arena_.Take(result.desc.get_size());
    Step step{dnnl::pooling_forward(what), {}, {}};
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
      const auto what = onednn::Relu(engine_, input.desc);
      step.primitive = dnnl::eltwise_forward(what);
      InArena(step, DNNL_ARG_SRC, input.desc, input.offset);
      Push(std::move(step), what);
      return true;
    }
    const Value& other = values_[static_cast<size_t>(layer.other)];
    if (other.dims != input.dims) return false;
    const auto what =
        onednn::Addition(engine_, input.desc, other.desc, {.relu = layer.relu});
    step.primitive = dnnl::binary(what);
    InArena(step, DNNL_ARG_SRC_0, input.desc, input.offset);
    InArena(step, DNNL_ARG_SRC_1, other.desc, other.offset);
    Push(std::move(step), what);
    return true;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  int64_t block_ = 0;
  int64_t classes_ = 0;
  int64_t weight_bytes_ = 0;
  Arena arena_;
  std::vector<Value> values_;
  std::vector<Step> steps_;
};

}  // namespace

bool OnednnPlan::Built() { return true; }

std::unique_ptr<OnednnPlan> OnednnPlan::Build(const Network& network,
                                              const data::SampleShape& shape,
                                              int64_t samples) {
  try {
    auto plan = std::make_unique<Plan>();
    const int64_t block = BlockFor(samples, LargestValueBytes(network, shape));
    if (!plan->Prepare(network, shape, block)) return nullptr;
    return plan;
  } catch (const dnnl::error&) {
    return nullptr;  // LibTorch does it
  }
}

}  // namespace trainyard::runner
