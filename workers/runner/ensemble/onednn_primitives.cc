#include "workers/runner/ensemble/onednn_primitives.h"

namespace trainyard::runner::onednn {
namespace {

constexpr dnnl::prop_kind kInference = dnnl::prop_kind::forward_inference;
// Empty primitives instead of exceptions.
constexpr bool kMayBeEmpty = true;

dnnl::primitive_attr AttributesOf(Ending ending) {
  dnnl::post_ops after;
  if (ending.add) after.append_sum(1.0f);
  if (ending.relu) {
#if DNNL_VERSION_MAJOR >= 3
    after.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
#else
    after.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0, 0);
#endif
  }
  dnnl::primitive_attr attributes;
  attributes.set_post_ops(after);
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Dims ToDims(const Pair& pair) { return {pair[0], pair[1]}; }

// oneDNN counts the gaps between a filter's taps.
Dims Gaps(const Pair& dilation) { return {dilation[0] - 1, dilation[1] - 1}; }

}  // namespace

dnnl::convolution_forward::primitive_desc Convolution(
    const dnnl::engine& engine, dnnl::algorithm algorithm,
    const ConvShapes& shapes, const Layer& layer, Ending ending) {
  const Dims stride = ToDims(layer.stride);
  const Dims gaps = Gaps(layer.dilation);
  const Dims padding = ToDims(layer.padding);
#if DNNL_VERSION_MAJOR >= 3
  return {engine,         kInference,  algorithm,     shapes.source,
          shapes.weights, shapes.bias, shapes.result, stride,
          gaps,           padding,     padding,       AttributesOf(ending),
          kMayBeEmpty};
#else
  const dnnl::convolution_forward::desc what(
      kInference, algorithm, shapes.source, shapes.weights, shapes.bias,
      shapes.result, stride, gaps, padding, padding);
  return {what, AttributesOf(ending), engine, kMayBeEmpty};
#endif
}

dnnl::inner_product_forward::primitive_desc InnerProduct(
    const dnnl::engine& engine, const ConvShapes& shapes, Ending ending) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine,      kInference,    shapes.source,       shapes.weights,
          shapes.bias, shapes.result, AttributesOf(ending)};
#else
  const dnnl::inner_product_forward::desc what(
      kInference, shapes.source, shapes.weights, shapes.bias, shapes.result);
  return {what, AttributesOf(ending), engine};
#endif
}

dnnl::pooling_forward::primitive_desc Pooling(const dnnl::engine& engine,
                                              const Desc& source,
                                              const Desc& result,
                                              const Layer& layer,
                                              const Pair& kernel) {
  const dnnl::algorithm algorithm =
      layer.kind == Layer::Kind::kMaxPool
          ? dnnl::algorithm::pooling_max
          : dnnl::algorithm::pooling_avg_exclude_padding;
  const Dims stride = ToDims(layer.stride);
  const Dims padding = ToDims(layer.padding);
#if DNNL_VERSION_MAJOR >= 3
  return {engine,  kInference, algorithm,       source,
          result,  stride,     ToDims(kernel),  Dims{0, 0},
          padding, padding,    AttributesOf({})};
#else
  const dnnl::pooling_forward::desc what(kInference, algorithm, source, result,
                                         stride, ToDims(kernel), padding,
                                         padding);
  return {what, AttributesOf({}), engine};
#endif
}

dnnl::binary::primitive_desc Addition(const dnnl::engine& engine,
                                      const Desc& source, const Desc& other,
                                      Ending ending) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, dnnl::algorithm::binary_add, source, other,
          source, AttributesOf(ending)};
#else
  const dnnl::binary::desc what(dnnl::algorithm::binary_add, source, other,
                                source);
  return {what, AttributesOf(ending), engine};
#endif
}

dnnl::eltwise_forward::primitive_desc Relu(const dnnl::engine& engine,
                                           const Desc& source) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kInference,      dnnl::algorithm::eltwise_relu,
          source, source,          0,
          0,      AttributesOf({})};
#else
  const dnnl::eltwise_forward::desc what(
      kInference, dnnl::algorithm::eltwise_relu, source, 0, 0);
  return {what, AttributesOf({}), engine};
#endif
}

}  // namespace trainyard::runner::onednn
