// Boundary max pooling: what the front end and the devices agree on.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <tuple>

namespace mmtal_mts {

// Both are dispatched by device through the registry of MMCV. The front end has
// checked shapes and dtypes and made everything contiguous.

// features (N, C, T) floating point, bounds (N, S, 4) float64, not yet clamped.
// Returns the maxima (N, C, S) and their positions (N, C, S) int32.
std::tuple<at::Tensor, at::Tensor> boundary_max_pooling_impl(
    const at::Tensor& features, const at::Tensor& bounds);

// grad (N, C, S) floating point, index (N, C, S) int32. Returns (N, C, length).
at::Tensor boundary_max_pooling_backward_impl(const at::Tensor& grad,
                                              const at::Tensor& index,
                                              int64_t length);

}  // namespace mmtal_mts
