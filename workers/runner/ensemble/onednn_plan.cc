#include "workers/runner/ensemble/onednn_plan.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "workers/runner/ensemble/onednn_arena.h"
#include "workers/runner/ensemble/onednn_stage.h"

namespace trainyard::runner {
namespace {

using onednn::Arena;
using onednn::Dims;
using onednn::OnednnStage;
using onednn::ResultDims;
using Kind = Layer::Kind;
using Layers = std::vector<Layer>;

// The most bytes of one value of a block, so that blocks of large images stay
// near the cores and the arena stays small.
constexpr int64_t kMostValueBytes = int64_t{32} << 20;
constexpr int64_t kFewestSamples = 4;
constexpr int64_t kMostSamples = 32;
// From so many channels on a convolution's weights are what is large, and a
// block should have many samples.
constexpr int64_t kManyChannels = 256;

// Of each value, for one sample; what does not fit is empty.
std::vector<Dims> ValueDims(const Network& network,
                            const data::SampleShape& shape) {
  std::vector<Dims> values = {{1, shape.channels, shape.height, shape.width}};
  for (const Layer& layer : network.layers) {
    const Dims& input = values[static_cast<size_t>(layer.input)];
    const bool same = layer.kind == Kind::kAdd || layer.kind == Kind::kRelu;
    values.push_back(same ? input : ResultDims(layer, input));
  }
  return values;
}

int64_t BytesOf(const Dims& dims) {
  int64_t bytes = dims.empty() ? 0 : int64_t{sizeof(float)};
  for (const int64_t extent : dims) bytes *= extent;
  return bytes;
}

// Of the blocks that are not too large, and not less than half as large as they
// may be, the one that leaves the fewest places empty. `begin` to `end`: values
// of one sample.
int64_t BlockFor(int64_t samples, std::vector<Dims>::const_iterator begin,
                 std::vector<Dims>::const_iterator end) {
  int64_t sample_bytes = 1;
  for (auto value = begin; value != end; ++value) {
    sample_bytes = std::max(sample_bytes, BytesOf(*value));
  }
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

// The last value before the layers with many channels that is all they need of
// those before: there they can go on with larger blocks. 0: there is none.
size_t CutOf(const Layers& layers, const std::vector<Dims>& values) {
  const auto many = [](const Layer& layer) {
    return layer.kind == Kind::kConv && layer.weight.size(1) >= kManyChannels;
  };
  const auto first_many = static_cast<size_t>(
      std::find_if(layers.begin(), layers.end(), many) - layers.begin());
  if (first_many == layers.size()) return 0;
  for (size_t cut = first_many; cut > 0; --cut) {
    const Dims& value = values[cut];
    const bool alone = std::all_of(
        layers.begin() + static_cast<std::ptrdiff_t>(cut), layers.end(),
        [number = static_cast<int>(cut)](const Layer& layer) {
          return layer.input >= number &&
                 (layer.other < 0 || layer.other >= number);
        });
    if (alone && value.size() == 4 && value[1] % onednn::kLanes == 0) {
      return cut;
    }
  }
  return 0;
}

// Layers [begin, end), their inputs counted from value `begin` on.
Layers Slice(const Layers& layers, size_t begin, size_t end) {
  Layers slice(layers.begin() + static_cast<std::ptrdiff_t>(begin),
               layers.begin() + static_cast<std::ptrdiff_t>(end));
  for (Layer& layer : slice) {
    layer.input -= static_cast<int>(begin);
    if (layer.other >= 0) layer.other -= static_cast<int>(begin);
  }
  return slice;
}

// One stage, or two of which the second takes larger blocks.
class Plan : public OnednnPlan {
 public:
  at::Tensor Run(const at::Tensor& images) override {
    const at::Tensor batch = images.contiguous();
    const int64_t samples = batch.size(0);
    at::Tensor logits = at::empty({samples, last_->result_dims()[1]});
    const int64_t sample_floats = batch.numel() / std::max<int64_t>(samples, 1);
    const int64_t classes = logits.size(1);
    char* arena = Scratch();
    for (int64_t done = 0; done < samples; done += last_block_) {
      const int64_t count = std::min(last_block_, samples - done);
      const float* from = batch.data_ptr<float>() + done * sample_floats;
      if (first_) {
        RunFirst(from, count, sample_floats, arena);
      } else {
        Fill(from, count, last_block_, sample_floats, arena);
      }
      last_->Run(arena);
      const float* out = last_->result(arena);
      std::copy(out, out + count * classes,
                logits.data_ptr<float>() + done * classes);
    }
    return logits;
  }

  // False: a layer does not fit what is before it. Throws dnnl::error.
  bool Prepare(const Network& network, const data::SampleShape& shape,
               int64_t samples, const std::function<void()>& packed) {
    const Layers& layers = network.layers;
    const std::vector<Dims> values = ValueDims(network, shape);
    const auto cut = static_cast<std::ptrdiff_t>(CutOf(layers, values));
    if (cut > 0) {
      first_block_ =
          BlockFor(samples, values.begin(), values.begin() + cut + 1);
      last_block_ = BlockFor(samples, values.begin() + cut, values.end());
    }
    if (last_block_ <= first_block_ || !Divide(network, values, cut, packed)) {
      first_.reset();
      last_block_ = BlockFor(samples, values.begin(), values.end());
      last_ = OnednnStage::Build(layers, Blocks(values.front(), last_block_),
                                 onednn::Source::kBatch, packed);
    }
    return last_ && last_->result_dims().size() == 2;
  }

 private:
  static Dims Blocks(Dims dims, int64_t block) {
    dims[0] = block;
    return dims;
  }

  // False: it cannot be divided there.
  bool Divide(const Network& network, const std::vector<Dims>& values,
              std::ptrdiff_t at, const std::function<void()>& packed) {
    const auto cut = static_cast<size_t>(at);
    const Layers& layers = network.layers;
    first_ = OnednnStage::Build(Slice(layers, 0, cut),
                                Blocks(values.front(), first_block_),
                                onednn::Source::kBatch, packed);
    if (!first_ || !first_->is_blocked()) return false;
    last_ = OnednnStage::Build(Slice(layers, cut, layers.size()),
                               Blocks(values[cut], last_block_),
                               onednn::Source::kStage, packed);
    return last_ != nullptr;
  }

  // The first stage, as often as the last one's block needs it. Its arena
  // begins after the last one's input.
  void RunFirst(const float* from, int64_t count, int64_t sample_floats,
                char* arena) {
    char* own = arena + FirstOffset();
    const size_t sample_bytes =
        last_->input_bytes() / static_cast<size_t>(last_block_);
    for (int64_t done = 0; done < count; done += first_block_) {
      const int64_t some = std::min(first_block_, count - done);
      Fill(from + done * sample_floats, some, first_block_, sample_floats, own);
      first_->Run(own);
      std::memcpy(arena + static_cast<size_t>(done) * sample_bytes,
                  first_->result(own),
                  static_cast<size_t>(some) * sample_bytes);
    }
    std::memset(arena + static_cast<size_t>(count) * sample_bytes, 0,
                static_cast<size_t>(last_block_ - count) * sample_bytes);
  }

  // `count` samples, and zeros for the rest of the block.
  static void Fill(const float* from, int64_t count, int64_t block,
                   int64_t sample_floats, char* arena) {
    auto* to = reinterpret_cast<float*>(arena);
    std::copy(from, from + count * sample_floats, to);
    std::fill(to + count * sample_floats, to + block * sample_floats, 0.0f);
  }

  size_t FirstOffset() const {
    return (last_->input_bytes() + Arena::kAlignment - 1) / Arena::kAlignment *
           Arena::kAlignment;
  }

  // One piece per thread for all plans that run on it, one after the other.
  char* Scratch() const {
    thread_local at::Tensor scratch;
    size_t bytes = last_->arena_bytes();
    if (first_) {
      bytes = std::max(bytes, FirstOffset() + first_->arena_bytes());
    }
    const auto wanted = static_cast<int64_t>(bytes + Arena::kAlignment);
    if (!scratch.defined() || scratch.numel() < wanted) {
      scratch = at::Tensor();  // the old one goes first
      scratch = at::empty({wanted}, at::kByte);
    }
    const auto begin = reinterpret_cast<uintptr_t>(scratch.data_ptr());
    return reinterpret_cast<char*>((begin + Arena::kAlignment - 1) /
                                   Arena::kAlignment * Arena::kAlignment);
  }

  int64_t first_block_ = 0;
  int64_t last_block_ = 0;
  std::unique_ptr<OnednnStage> first_;  // null: there is only the last
  std::unique_ptr<OnednnStage> last_;
};

}  // namespace

bool OnednnPlan::Built() { return true; }

std::unique_ptr<OnednnPlan> OnednnPlan::Build(const Network& network,
                                              const data::SampleShape& shape,
                                              int64_t samples,
                                              const Packed& packed) {
  try {
    auto plan = std::make_unique<Plan>();
    if (!plan->Prepare(network, shape, samples, packed)) return nullptr;
    return plan;
  } catch (const dnnl::error&) {
    return nullptr;  // LibTorch does it
  }
}

}  // namespace trainyard::runner
