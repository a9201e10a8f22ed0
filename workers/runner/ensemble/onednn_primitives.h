// oneDNN's primitives, as oneDNN 2 and 3 both have them: what each layer is
// made of. oneDNN 3 (Debian 13) was not run on the machines this was written
// on. Functions throw dnnl::error where they return no empty primitive.
#pragma once

#include <dnnl.hpp>

#include "workers/runner/ensemble/network.h"

namespace trainyard::runner::onednn {

using Dims = dnnl::memory::dims;
using Desc = dnnl::memory::desc;

inline Dims DimsOf(const Desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return desc.get_dims();
#else
  return desc.dims();
#endif
}

// ReLU at the end, after an addition to what the output holds.
struct Ending {
  bool add = false;
  bool relu = false;
};

struct ConvShapes {
  Desc source, weights, bias, result;
};

// Empty: there is no such convolution.
dnnl::convolution_forward::primitive_desc Convolution(
    const dnnl::engine& engine, dnnl::algorithm algorithm,
    const ConvShapes& shapes, const Layer& layer, Ending ending);

dnnl::inner_product_forward::primitive_desc InnerProduct(
    const dnnl::engine& engine, const ConvShapes& shapes, Ending ending);

// kMaxPool and kGlobalAverage. `kernel` is of the latter too.
dnnl::pooling_forward::primitive_desc Pooling(const dnnl::engine& engine,
                                              const Desc& source,
                                              const Desc& result,
                                              const Layer& layer,
                                              const Pair& kernel);

// source + source of one shape, ReLU after it where asked for.
dnnl::binary::primitive_desc Addition(const dnnl::engine& engine,
                                      const Desc& source, const Desc& other,
                                      Ending ending);

dnnl::eltwise_forward::primitive_desc Relu(const dnnl::engine& engine,
                                           const Desc& source);

}  // namespace trainyard::runner::onednn
