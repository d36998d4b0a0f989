// Boundary max pooling on CUDA: one block per clip and channel.
#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/cuda/Atomic.cuh>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

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

// The order of the additions, and with it the last bits, varies between runs.
template <typename T, typename V>
__global__ void __launch_bounds__(kThreads)
    backward_kernel(const T* __restrict__ grad, const int32_t* __restrict__ index,
                    int32_t length, int64_t count, V* __restrict__ sum) {
  const int64_t row = blockIdx.x;
  for (int64_t s = threadIdx.x; s < count; s += blockDim.x) {
    const int64_t at = row * count + s;
    gpuAtomicAdd(sum + row * length + index[at], static_cast<V>(grad[at]));
  }
}

// One thread adds up a whole row, always in the order of the segments.
template <typename T, typename V>
__global__ void __launch_bounds__(kThreads)
    deterministic_backward_kernel(const T* __restrict__ grad,
                                  const int32_t* __restrict__ index, int64_t rows,
                                  int32_t length, int64_t count,
                                  V* __restrict__ sum) {
  const int64_t row = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  for (int64_t s = row * count; s < (row + 1) * count; ++s) {
    sum[row * length + index[s]] += static_cast<V>(grad[s]);
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

at::Tensor backward_cuda(const at::Tensor& grad, const at::Tensor& index,
                         int64_t length) {
  const c10::cuda::CUDAGuard guard(grad.device());
  // Half precision adds up in float.
  const at::ScalarType dtype = grad.scalar_type();
  const auto options =
      grad.options().dtype(dtype == at::kDouble ? at::kDouble : at::kFloat);
  const int64_t rows = grad.size(0) * grad.size(1), count = grad.size(2);
  at::Tensor sum = at::zeros({grad.size(0), grad.size(1), length}, options);
  if (grad.numel() == 0) return sum.to(dtype);
  const bool deterministic = at::globalContext().deterministicAlgorithms();
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, dtype, "boundary_max_pooling_backward", [&] {
        using V = at::opmath_type<scalar_t>;
        const auto stream = c10::cuda::getCurrentCUDAStream();
        const scalar_t* from = grad.const_data_ptr<scalar_t>();
        const int32_t* positions = index.const_data_ptr<int32_t>();
        V* to = sum.data_ptr<V>();
        if (deterministic) {
          deterministic_backward_kernel<scalar_t, V>
              <<<(rows + kThreads - 1) / kThreads, kThreads, 0, stream>>>(
                  from, positions, rows, static_cast<int32_t>(length), count, to);
        } else {
          backward_kernel<scalar_t, V><<<rows, kThreads, 0, stream>>>(
              from, positions, static_cast<int32_t>(length), count, to);
        }
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return sum.to(dtype);
}

REGISTER_DEVICE_IMPL(boundary_max_pooling_impl, CUDA, forward_cuda);
REGISTER_DEVICE_IMPL(boundary_max_pooling_backward_impl, CUDA, backward_cuda);

}  // namespace
}  // namespace mmtal_mts
