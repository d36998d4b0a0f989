// Max pooling of channels-last maps: what the front end and the CPU agree on.
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <tuple>

namespace mmtal_mts {

// SAME padding (the TensorFlow rule) along one axis. Padding never wins a maximum:
// windows are cut to the map.
struct PoolAxis {
  int64_t size, kernel, stride;

  int64_t outputs() const { return (size + stride - 1) / stride; }
  // Where the window of an output would begin if it were not cut.
  int64_t origin(int64_t output) const {
    const int64_t rest = size % stride;
    const int64_t padding = std::max<int64_t>(kernel - (rest ? rest : stride), 0);
    return output * stride - padding / 2;
  }
  // Cells of the window that lie on the map: first, and behind the last.
  int64_t first(int64_t output) const {
    return std::max<int64_t>(-origin(output), 0);
  }
  int64_t last(int64_t output) const {
    return std::min(kernel, size - origin(output));
  }
};

using PoolAxes = std::array<PoolAxis, 3>;  // T, H, W

// The index of a maximum is its cell in the window, which fits into a byte.
constexpr int64_t kMaxWindow = 255;

// x (N, C, T, H, W) channels-last. Returns the maxima and, if asked for, their cells
// in the window (uint8), both channels-last; else an empty tensor.
std::tuple<at::Tensor, at::Tensor> max_pool3d_cpu(const at::Tensor& x,
                                                  const PoolAxes& axes,
                                                  bool with_index);

// grad and index (N, C, T', H', W') channels-last. Returns (N, C, T, H, W).
at::Tensor max_pool3d_backward_cpu(const at::Tensor& grad, const at::Tensor& index,
                                   const PoolAxes& axes);

}  // namespace mmtal_mts
