// Boundary max pooling on CUDA: one block per clip and channel.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "../boundary_pooling.h"
#include "pytorch_device_registry.hpp"

namespace mmtal_mts {
namespace {

constexpr int kThreads = 128;

// Whether a value that comes later replaces the best so far: the first of equal
// values stays, and the first NaN beats everything.
template <typename T>
__device__ __forceinline__ bool replaces(T value, T best) {
  return !(value <= best) & (best == best);
}

// Rows (clip and channel) are on x, which takes 2^31 blocks; each block strides
// over the segments. Neighbouring threads write neighbouring outputs and read one
// row, which the L1 cache holds.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    forward_kernel(const T* __restrict__ features,
                   const double* __restrict__ bounds, int32_t channels,
                   int32_t length, int64_t count, T* __restrict__ values,
                   int32_t* __restrict__ index) {
  using V = at::opmath_type<T>;
  const int64_t row = blockIdx.x;
  const int64_t clip = row / channels;
  const bool is_end = row % channels >= channels / 2;
  const T* x = features + row * length;
  for (int64_t s = threadIdx.x; s < count; s += blockDim.x) {
    const Range range =
        range_of(bounds + (clip * count + s) * 4 + (is_end ? 2 : 0), length);
    int32_t best = range.first;
    V value = static_cast<V>(x[best]);
    for (int32_t t = range.first + 1; t <= range.last; ++t) {
      const V other = static_cast<V>(x[t]);
      if (replaces(other, value)) {
        value = other;
        best = t;
      }
    }
    values[row * count + s] = x[best];
    index[row * count + s] = best;
  }
}

std::tuple<at::Tensor, at::Tensor> forward_cuda(const at::Tensor& features,
                                                const at::Tensor& bounds) {
  const c10::cuda::CUDAGuard guard(features.device());
  const int64_t channels = features.size(1), count = bounds.size(1);
  at::Tensor values =
      at::empty({features.size(0), channels, count}, features.options());
  at::Tensor index = at::empty_like(values, values.options().dtype(at::kInt));
  const int64_t rows = features.size(0) * channels;
  if (values.numel() == 0) return {values, index};
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, features.scalar_type(), "boundary_max_pooling",
      [&] {
        forward_kernel<scalar_t>
            <<<rows, kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(
                features.const_data_ptr<scalar_t>(),
                bounds.const_data_ptr<double>(), static_cast<int32_t>(channels),
                static_cast<int32_t>(features.size(2)), count,
                values.data_ptr<scalar_t>(), index.data_ptr<int32_t>());
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return {values, index};
}

REGISTER_DEVICE_IMPL(boundary_max_pooling_impl, CUDA, forward_cuda);

}  // namespace
}  // namespace mmtal_mts
