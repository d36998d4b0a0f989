// Front end of the compiled operators: schemas, checks, dispatch by device.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "boundary_pooling.h"

#include <torch/library.h>

#include <limits>

#include "pytorch_device_registry.hpp"

namespace mmtal_mts {

std::tuple<at::Tensor, at::Tensor> boundary_max_pooling_impl(
    const at::Tensor& features, const at::Tensor& bounds) {
  return DISPATCH_DEVICE_IMPL(boundary_max_pooling_impl, features, bounds);
}

namespace {

std::tuple<at::Tensor, at::Tensor> boundary_max_pooling(
    const at::Tensor& features, const at::Tensor& segments) {
  TORCH_CHECK_VALUE(features.dim() == 3 && features.size(1) % 2 == 0 &&
                        features.size(2) > 0,
                    "features has shape ", features.sizes(),
                    "; expected (N, C, T) with an even C and T >= 1");
  TORCH_CHECK_VALUE(segments.dim() == 3 && segments.size(2) == 4 &&
                        segments.size(0) == features.size(0),
                    "segments has shape ", segments.sizes(), "; expected (",
                    features.size(0), ", S, 4)");
  TORCH_CHECK_VALUE(features.size(2) <= std::numeric_limits<int32_t>::max(),
                    "features has ", features.size(2),
                    " positions; positions are counted in 32 bits");
  // float64 holds every other dtype, so that one kernel reads them all.
  const at::Tensor bounds = segments.to(at::kDouble).contiguous();
  return boundary_max_pooling_impl(features.contiguous(), bounds);
}

}  // namespace

TORCH_LIBRARY(mmtal_mts, m) {
  m.def(
      "boundary_max_pooling(Tensor features, Tensor segments) "
      "-> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(mmtal_mts, CPU, m) {
  m.impl("boundary_max_pooling", &boundary_max_pooling);
}
#ifdef MMTAL_WITH_CUDA
TORCH_LIBRARY_IMPL(mmtal_mts, CUDA, m) {
  m.impl("boundary_max_pooling", &boundary_max_pooling);
}
#endif

}  // namespace mmtal_mts

// The module exists to be loaded; what it offers is in torch.ops.mmtal_mts.
PyMODINIT_FUNC PyInit__compiled(void) {
  static struct PyModuleDef definition = {
      PyModuleDef_HEAD_INIT, "_compiled", nullptr, -1, nullptr};
  return PyModule_Create(&definition);
}
