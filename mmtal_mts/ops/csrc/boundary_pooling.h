// Boundary max pooling: what the front end and the devices agree on.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <tuple>

#if defined(__CUDACC__) || defined(__HIPCC__)
#define MMTAL_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MMTAL_HOST_DEVICE inline
#endif

namespace mmtal_mts {

// Dispatched by device through the registry of MMCV. The front end has checked shapes
// and dtypes and made everything contiguous.
//
// features (N, C, T) floating point, bounds (N, S, 4) float64, not yet clamped.
// Returns the maxima (N, C, S) and their positions (N, C, S) int32.
std::tuple<at::Tensor, at::Tensor> boundary_max_pooling_impl(
    const at::Tensor& features, const at::Tensor& bounds);

// A bound truncated towards zero and clamped to 0..length-1; NaN is 0.
MMTAL_HOST_DEVICE int32_t position_of(double bound, int32_t length) {
  // Compared before the conversion, which is undefined for what int32 cannot hold.
  if (!(bound > 0)) return 0;
  return bound < length - 1 ? static_cast<int32_t>(bound) : length - 1;
}

// Inclusive range of one region. A reversed region is the position of its start.
struct Range {
  int32_t first, last;
};

MMTAL_HOST_DEVICE Range range_of(const double* bounds, int32_t length) {
  const int32_t first = position_of(bounds[0], length);
  const int32_t last = position_of(bounds[1], length);
  return {first, last < first ? first : last};
}

}  // namespace mmtal_mts
