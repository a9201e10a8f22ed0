#include "workers/runner/ensemble/onednn_winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>

// The same code for each set of instructions, picked at run time.
#if defined(__x86_64__) && defined(__GNUC__)
#define TRAINYARD_WINOGRAD_X86 1
#define TRAINYARD_TARGET(name) __attribute__((target(name)))
#endif
#define TRAINYARD_INLINE inline __attribute__((always_inline))

namespace trainyard::runner::onednn {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kTile = 6;    // of what is transformed
constexpr int64_t kResult = 4;  // of what comes out
constexpr int64_t kPlaces = kTile * kTile;
// Results whose weights are transformed at once: near the cores, and enough
// for a matrix product.
constexpr int64_t kSlice = 128;

// Of one position in 16 channels; as aligned as a float.
typedef float Lanes
    __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

TRAINYARD_INLINE const Lanes& At(const float* from) {
  return *reinterpret_cast<const Lanes*>(from);
}
TRAINYARD_INLINE Lanes& At(float* to) { return *reinterpret_cast<Lanes*>(to); }

// --- the three transforms of one row or column ---------------------------
//
// By interpolation at 0, +-kNear, +-kFar and infinity. With these points (the
// nearest to the best of those tried that are exact) the errors are a fifth of
// those with 1 and 2, which the paper has.

constexpr float kNear = 0.625f;
constexpr float kFar = 1.5f;
constexpr float kNear2 = kNear * kNear;
constexpr float kFar2 = kFar * kFar;
constexpr float kSum = kNear2 + kFar2;
constexpr float kProduct = kNear2 * kFar2;

// from[0], from[step], ...: 6 in, 6 out.
TRAINYARD_INLINE void TransformSource(const Lanes* from, int64_t step,
                                      Lanes* to, int64_t to_step) {
  const Lanes near_even = from[4 * step] - kFar2 * from[2 * step];
  const Lanes near_odd = kNear * from[3 * step] - kNear * kFar2 * from[step];
  const Lanes far_even = from[4 * step] - kNear2 * from[2 * step];
  const Lanes far_odd = kFar * from[3 * step] - kFar * kNear2 * from[step];
  to[0] = kProduct * from[0] - kSum * from[2 * step] + from[4 * step];
  to[to_step] = near_even + near_odd;
  to[2 * to_step] = near_even - near_odd;
  to[3 * to_step] = far_even + far_odd;
  to[4 * to_step] = far_even - far_odd;
  to[5 * to_step] =
      kProduct * from[step] - kSum * from[3 * step] + from[5 * step];
}

// 3 in, 6 out.
TRAINYARD_INLINE void TransformWeight(const Lanes* from, int64_t step,
                                      Lanes* to, int64_t to_step) {
  constexpr float kOfNear = 1 / (2 * kNear2 * (kNear2 - kFar2));
  constexpr float kOfFar = 1 / (2 * kFar2 * (kFar2 - kNear2));
  const Lanes near_even = kOfNear * from[0] + kOfNear * kNear2 * from[2 * step];
  const Lanes near_odd = kOfNear * kNear * from[step];
  const Lanes far_even = kOfFar * from[0] + kOfFar * kFar2 * from[2 * step];
  const Lanes far_odd = kOfFar * kFar * from[step];
  to[0] = from[0] * (1 / kProduct);
  to[to_step] = near_even + near_odd;
  to[2 * to_step] = near_even - near_odd;
  to[3 * to_step] = far_even + far_odd;
  to[4 * to_step] = far_even - far_odd;
  to[5 * to_step] = from[2 * step];
}

// 6 in, 4 out.
TRAINYARD_INLINE void TransformResult(const Lanes* from, int64_t step,
                                      Lanes* to, int64_t to_step) {
  const Lanes near_even = from[step] + from[2 * step];
  const Lanes near_odd = from[step] - from[2 * step];
  const Lanes far_even = from[3 * step] + from[4 * step];
  const Lanes far_odd = from[3 * step] - from[4 * step];
  to[0] = from[0] + near_even + far_even;
  to[to_step] = kNear * near_odd + kFar * far_odd;
  to[2 * to_step] = kNear2 * near_even + kFar2 * far_even;
  to[3 * to_step] =
      kNear * kNear2 * near_odd + kFar * kFar2 * far_odd + from[5 * step];
}

// --- whole tensors ---------------------------------------------------------

struct Grid {
  explicit Grid(const WinogradShape& shape)
      : rows((shape.result_height() + kResult - 1) / kResult),
        columns((shape.result_width() + kResult - 1) / kResult) {}
  int64_t rows, columns;
};

// Tiles [begin, end) of `source`, to[place][tile][channel].
TRAINYARD_INLINE void SourceBody(const WinogradShape& shape,
                                 const float* source, float* to, int64_t begin,
                                 int64_t end) {
  const Grid grid(shape);
  const int64_t tiles = shape.tiles();
  const int64_t blocks = shape.channels / kLanes;
  const int64_t plane = shape.height * shape.width * kLanes;
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t sample = tile / (grid.rows * grid.columns);
    const int64_t row = tile / grid.columns % grid.rows;
    const int64_t column = tile % grid.columns;
    const int64_t top = row * kResult - shape.padding[0];
    const int64_t left = column * kResult - shape.padding[1];
    for (int64_t block = 0; block < blocks; ++block) {
      const float* from = source + (sample * blocks + block) * plane;
      Lanes in[kPlaces];
      for (int64_t y = 0; y < kTile; ++y) {
        for (int64_t x = 0; x < kTile; ++x) {
          const int64_t py = top + y;
          const int64_t px = left + x;
          const bool inside =
              py >= 0 && py < shape.height && px >= 0 && px < shape.width;
          in[y * kTile + x] =
              inside ? At(from + (py * shape.width + px) * kLanes) : Lanes{};
        }
      }
      Lanes half[kPlaces];
      for (int64_t x = 0; x < kTile; ++x) {
        TransformSource(in + x, kTile, half + x, kTile);
      }
      float* at = to + tile * shape.channels + block * kLanes;
      for (int64_t y = 0; y < kTile; ++y) {
        Lanes out[kTile];
        TransformSource(half + y * kTile, 1, out, 1);
        for (int64_t x = 0; x < kTile; ++x) {
          At(at + (y * kTile + x) * tiles * shape.channels) = out[x];
        }
      }
    }
  }
}

// Channels [begin, end) of the weights for `width` results from `first` on,
// to[place][channel][result].
TRAINYARD_INLINE void WeightBody(const WinogradShape& shape,
                                 const float* weight, float* to, int64_t first,
                                 int64_t width, int64_t begin, int64_t end) {
  for (int64_t channel = begin; channel < end; ++channel) {
    for (int64_t lane = 0; lane < width; lane += kLanes) {
      Lanes in[9];
      for (int64_t tap = 0; tap < 9; ++tap) {
        in[tap] =
            At(weight + (channel * 9 + tap) * shape.results + first + lane);
      }
      Lanes half[kTile * 3];
      for (int64_t x = 0; x < 3; ++x) {
        TransformWeight(in + x, 3, half + x, 3);
      }
      float* at = to + channel * width + lane;
      for (int64_t y = 0; y < kTile; ++y) {
        Lanes out[kTile];
        TransformWeight(half + y * 3, 1, out, 1);
        for (int64_t x = 0; x < kTile; ++x) {
          At(at + (y * kTile + x) * shape.channels * width) = out[x];
        }
      }
    }
  }
}

// Tiles [begin, end) of from[place][tile][result] to `width` results from
// `first` on.
TRAINYARD_INLINE void ResultBody(const WinogradShape& shape, const float* from,
                                 const float* bias, Ending ending,
                                 float* result, int64_t first, int64_t width,
                                 int64_t begin, int64_t end) {
  const Grid grid(shape);
  const int64_t tiles = shape.tiles();
  const int64_t height = shape.result_height();
  const int64_t full_width = shape.result_width();
  const int64_t blocks = shape.results / kLanes;
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t sample = tile / (grid.rows * grid.columns);
    const int64_t top = tile / grid.columns % grid.rows * kResult;
    const int64_t left = tile % grid.columns * kResult;
    for (int64_t lane = 0; lane < width; lane += kLanes) {
      Lanes in[kPlaces];
      for (int64_t place = 0; place < kPlaces; ++place) {
        in[place] = At(from + (place * tiles + tile) * width + lane);
      }
      Lanes half[kResult * kTile];
      for (int64_t x = 0; x < kTile; ++x) {
        TransformResult(in + x, kTile, half + x, kTile);
      }
      const Lanes shift = At(bias + first + lane);
      const int64_t block = (first + lane) / kLanes;
      float* plane =
          result + (sample * blocks + block) * height * full_width * kLanes;
      const int64_t rows = std::min(kResult, height - top);
      const int64_t columns = std::min(kResult, full_width - left);
      for (int64_t y = 0; y < rows; ++y) {
        Lanes out[kResult];
        TransformResult(half + y * kTile, 1, out, 1);
        float* at = plane + ((top + y) * full_width + left) * kLanes;
        for (int64_t x = 0; x < columns; ++x) {
          Lanes value = out[x] + shift;
          if (ending.add) value += At(at + x * kLanes);
          if (ending.relu) value = value > 0.0f ? value : Lanes{};
          At(at + x * kLanes) = value;
        }
      }
    }
  }
}

#ifdef TRAINYARD_WINOGRAD_X86

TRAINYARD_TARGET("avx512f")
void SourceWide(const WinogradShape& shape, const float* source, float* to,
                int64_t begin, int64_t end) {
  SourceBody(shape, source, to, begin, end);
}
TRAINYARD_TARGET("avx512f")
void WeightWide(const WinogradShape& shape, const float* weight, float* to,
                int64_t first, int64_t width, int64_t begin, int64_t end) {
  WeightBody(shape, weight, to, first, width, begin, end);
}
TRAINYARD_TARGET("avx512f")
void ResultWide(const WinogradShape& shape, const float* from,
                const float* bias, Ending ending, float* result, int64_t first,
                int64_t width, int64_t begin, int64_t end) {
  ResultBody(shape, from, bias, ending, result, first, width, begin, end);
}

#else

constexpr auto SourceWide = SourceBody;
constexpr auto WeightWide = WeightBody;
constexpr auto ResultWide = ResultBody;

#endif

}  // namespace

bool WinogradConvolution::Supported() {
#ifdef TRAINYARD_WINOGRAD_X86
  return __builtin_cpu_supports("avx512f");
#else
  return false;  // not measured
#endif
}

WinogradConvolution::WinogradConvolution(const WinogradShape& shape,
                                         const at::Tensor& weight,
                                         const at::Tensor& bias, Ending ending)
    : shape_(shape),
      weight_(weight.permute({1, 2, 3, 0}).contiguous()),
      bias_(bias.contiguous()),
      ending_(ending) {}

int64_t WinogradConvolution::scratch_bytes() const {
  const int64_t slice = std::min(kSlice, shape_.results);
  const int64_t floats = shape_.tiles() * shape_.channels +
                         shape_.channels * slice + shape_.tiles() * slice;
  return floats * kPlaces * static_cast<int64_t>(sizeof(float));
}

void WinogradConvolution::Run(const float* source, float* result,
                              float* scratch) const {
  const int64_t tiles = shape_.tiles();
  const int64_t channels = shape_.channels;
  const auto* weight = weight_.data_ptr<float>();
  const auto* bias = bias_.data_ptr<float>();
  float* sources = scratch;
  float* weights = sources + kPlaces * tiles * channels;
  at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
    SourceWide(shape_, source, sources, begin, end);
  });
  for (int64_t first = 0; first < shape_.results; first += kSlice) {
    const int64_t width = std::min(kSlice, shape_.results - first);
    float* products = weights + kPlaces * channels * width;
    at::parallel_for(0, channels, 1, [&](int64_t begin, int64_t end) {
      WeightWide(shape_, weight, weights, first, width, begin, end);
    });
    for (int64_t place = 0; place < kPlaces; ++place) {
      dnnl::sgemm('N', 'N', tiles, width, channels, 1.0f,
                  sources + place * tiles * channels, channels,
                  weights + place * channels * width, width, 0.0f,
                  products + place * tiles * width, width);
    }
    at::parallel_for(0, tiles, 1, [&](int64_t begin, int64_t end) {
      ResultWide(shape_, products, bias, ending_, result, first, width, begin,
                 end);
    });
  }
}

}  // namespace trainyard::runner::onednn
