// Front end of max pooling: schema, checks. There is only a CPU version; GPUs have a
// fast one in torch.
#include "max_pool3d.h"

#include <torch/library.h>

namespace mmtal_mts {
namespace {

constexpr auto kLayout = at::MemoryFormat::ChannelsLast3d;

PoolAxes axes_of(at::IntArrayRef shape, at::IntArrayRef kernel,
                 at::IntArrayRef stride) {
  PoolAxes axes;
  TORCH_CHECK_VALUE(shape.size() == 5 && kernel.size() == 3 && stride.size() == 3,
                    "expected (N, C, T, H, W) and a kernel and a stride of 3 axes, "
                    "not shape ", shape, ", kernel ", kernel, ", stride ", stride);
  for (int axis = 0; axis < 3; ++axis) {
    axes[axis] = {shape[axis + 2], kernel[axis], stride[axis]};
    TORCH_CHECK_VALUE(shape[axis + 2] > 0 && kernel[axis] > 0 && stride[axis] > 0 &&
                          stride[axis] <= kernel[axis],
                      "shape ", shape, ", kernel ", kernel, ", stride ", stride,
                      ": sizes must be positive, strides at most the kernel");
  }
  TORCH_CHECK_VALUE(kernel[0] * kernel[1] * kernel[2] <= kMaxWindow, "kernel ",
                    kernel, " has more than ", kMaxWindow, " cells");
  return axes;
}

std::tuple<at::Tensor, at::Tensor> max_pool3d(const at::Tensor& x,
                                              at::IntArrayRef kernel,
                                              at::IntArrayRef stride,
                                              bool with_index) {
  const PoolAxes axes = axes_of(x.sizes(), kernel, stride);
  return max_pool3d_cpu(x.contiguous(kLayout), axes, with_index);
}

at::Tensor max_pool3d_backward(const at::Tensor& grad, const at::Tensor& index,
                               at::IntArrayRef size, at::IntArrayRef kernel,
                               at::IntArrayRef stride) {
  TORCH_CHECK_VALUE(grad.dim() == 5 && size.size() == 3, "grad ", grad.sizes(),
                    " and size ", size, ": expected 5 axes and 3 sizes");
  const PoolAxes axes = axes_of(
      {grad.size(0), grad.size(1), size[0], size[1], size[2]}, kernel, stride);
  for (int axis = 0; axis < 3; ++axis) {
    TORCH_CHECK_VALUE(grad.size(axis + 2) == axes[axis].outputs(), "grad ",
                      grad.sizes(), " does not fit size ", size);
  }
  TORCH_CHECK_VALUE(
      index.sizes() == grad.sizes() && index.scalar_type() == at::kByte,
      "index must be uint8 and of the shape of grad ", grad.sizes());
  return max_pool3d_backward_cpu(grad.contiguous(kLayout),
                                 index.contiguous(kLayout), axes);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmtal_mts, m) {
  m.def(
      "max_pool3d(Tensor x, int[] kernel, int[] stride, bool with_index) "
      "-> (Tensor, Tensor)");
  m.def(
      "max_pool3d_backward(Tensor grad, Tensor index, SymInt[] size, int[] kernel, "
      "int[] stride) -> Tensor");
}

TORCH_LIBRARY_IMPL(mmtal_mts, CPU, m) {
  m.impl("max_pool3d", &max_pool3d);
  m.impl("max_pool3d_backward", &max_pool3d_backward);
}

}  // namespace mmtal_mts
