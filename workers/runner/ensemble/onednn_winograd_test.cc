#include "workers/runner/ensemble/onednn_winograd.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ostream>

namespace trainyard::runner::onednn {
namespace {

struct Case {
  const char* name;
  WinogradShape shape;
  Ending ending;
};

void PrintTo(const Case& one, std::ostream* to) { *to << one.name; }

// N x C x H x W as oneDNN's nChw16c, and back.
at::Tensor Blocked(const at::Tensor& plain) {
  return plain
      .reshape(
          {plain.size(0), plain.size(1) / 16, 16, plain.size(2), plain.size(3)})
      .permute({0, 1, 3, 4, 2})
      .contiguous();
}

class WinogradConvolutionTest : public testing::TestWithParam<Case> {};

TEST_P(WinogradConvolutionTest, EqualsAConvolutionInDoublePrecision) {
  if (!WinogradConvolution::Supported()) GTEST_SKIP() << "skipped: no AVX-512";
  const WinogradShape& shape = GetParam().shape;
  const Ending ending = GetParam().ending;
  at::manual_seed(1);
  const at::Tensor source =
      at::randn({shape.samples, shape.channels, shape.height, shape.width});
  const at::Tensor weight = at::randn({shape.results, shape.channels, 3, 3});
  const at::Tensor bias = at::randn({shape.results});
  at::Tensor wanted =
      at::conv2d(source.to(at::kDouble), weight.to(at::kDouble),
                 bias.to(at::kDouble), 1, {shape.padding[0], shape.padding[1]});
  ASSERT_EQ(wanted.size(2), shape.result_height());
  ASSERT_EQ(wanted.size(3), shape.result_width());
  const at::Tensor added = at::randn(wanted.sizes());
  at::Tensor result = Blocked(added);
  if (ending.add) wanted = wanted + added;
  if (ending.relu) wanted = wanted.relu();

  const WinogradConvolution convolution(shape, weight, bias, ending);
  const at::Tensor scratch =
      at::full({convolution.scratch_bytes() / 4}, std::nanf(""));
  convolution.Run(Blocked(source).data_ptr<float>(), result.data_ptr<float>(),
                  scratch.data_ptr<float>());

  const double scale = wanted.std().item<double>();
  EXPECT_LT((result - Blocked(wanted)).abs().max().item<double>(),
            5e-5 * scale);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, WinogradConvolutionTest,
    testing::Values(
        Case{"whole_tiles", {2, 32, 8, 8, 32, {1, 1}}, {}},
        Case{"parts_of_tiles", {3, 16, 7, 9, 48, {1, 1}}, {.relu = true}},
        Case{"no_padding", {1, 48, 6, 5, 16, {0, 0}}, {.add = true}},
        Case{"wide_padding", {2, 16, 3, 3, 16, {2, 2}}, {true, true}},
        Case{"several_slices", {2, 256, 14, 14, 272, {1, 1}}, {true, true}},
        Case{"one_result", {1, 16, 3, 3, 16, {0, 0}}, {}}),
    [](const auto& test) { return test.param.name; });

// As measured: many samples pay the weights' transform, tiny images never do.
TEST(WinogradGainsTest, AsksForManyTilesThatAreFilled) {
  EXPECT_TRUE(WinogradConvolution::Gains({32, 512, 7, 7, 512, {1, 1}}));
  EXPECT_FALSE(WinogradConvolution::Gains({4, 512, 7, 7, 512, {1, 1}}));
  EXPECT_FALSE(WinogradConvolution::Gains({64, 512, 2, 2, 512, {1, 1}}));
}

}  // namespace
}  // namespace trainyard::runner::onednn
