// Max pooling of channels-last maps: all channels of a window side by side.
#include "../max_pool3d.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <cstring>
#include <vector>

// The same source for the vector units of several processors, chosen when loaded.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && __GNUC__ >= 12
#define MMTAL_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define MMTAL_CLONES
#endif

namespace mmtal_mts {
namespace {

// A cell of the window that lies on the map.
template <typename T>
struct Cell {
  const T* channels;
  int32_t index;
};

// Whether a value that comes later replaces the best so far: the first of equal
// values stays, and the first NaN beats everything.
template <typename T>
inline bool replaces(T value, T best) {
  return !(value <= best) & (best == best);
}

// The loops over the channels are plain, so that the compiler vectorises them for
// every processor; maxima and positions stay in the first cache.
template <typename T>
inline __attribute__((always_inline)) void consider(const T* __restrict x,
                                                    int64_t channels,
                                                    T* __restrict best) {
  for (int64_t c = 0; c < channels; ++c) {
    best[c] = replaces(x[c], best[c]) ? x[c] : best[c];
  }
}

template <typename T>
inline __attribute__((always_inline)) void consider(const T* __restrict x,
                                                    int32_t code, int64_t channels,
                                                    T* __restrict best,
                                                    int32_t* __restrict where) {
  for (int64_t c = 0; c < channels; ++c) {
    const bool better = replaces(x[c], best[c]);
    best[c] = better ? x[c] : best[c];
    where[c] = better ? code : where[c];
  }
}

// Maxima of a window, and their cells where index is not null. There is room for the
// cells of all channels in where.
template <typename T>
inline __attribute__((always_inline)) void pool_window(
    const std::vector<Cell<T>>& cells, int64_t channels, T* best, int32_t* where,
    uint8_t* index) {
  std::memcpy(best, cells[0].channels, channels * sizeof(T));
  if (!index) {
    for (size_t i = 1; i < cells.size(); ++i) {
      consider(cells[i].channels, channels, best);
    }
    return;
  }
  for (int64_t c = 0; c < channels; ++c) where[c] = cells[0].index;
  for (size_t i = 1; i < cells.size(); ++i) {
    consider(cells[i].channels, cells[i].index, channels, best, where);
  }
  for (int64_t c = 0; c < channels; ++c) index[c] = static_cast<uint8_t>(where[c]);
}

template <typename T>
void pool(const std::vector<Cell<T>>& cells, int64_t channels, T* best,
          int32_t* where, uint8_t* index) {
  pool_window(cells, channels, best, where, index);
}

template <>
MMTAL_CLONES void pool(const std::vector<Cell<float>>& cells, int64_t channels,
                       float* best, int32_t* where, uint8_t* index) {
  pool_window(cells, channels, best, where, index);
}

template <typename T>
void forward_kernel(const at::Tensor& x, const PoolAxes& axes, at::Tensor& values,
                    at::Tensor* index) {
  const auto& [ts, hs, ws] = axes;
  const int64_t channels = x.size(1);
  const int64_t rows = x.size(0) * ts.outputs() * hs.outputs();
  const T* from = x.const_data_ptr<T>();
  T* to = values.data_ptr<T>();
  uint8_t* found = index ? index->data_ptr<uint8_t>() : nullptr;
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<Cell<T>> cells;
    std::vector<int32_t> where(channels);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t h = row % hs.outputs(), rest = row / hs.outputs();
      const int64_t t = rest % ts.outputs(), n = rest / ts.outputs();
      for (int64_t w = 0; w < ws.outputs(); ++w) {
        cells.clear();
        for (int64_t dt = ts.first(t); dt < ts.last(t); ++dt) {
          for (int64_t dh = hs.first(h); dh < hs.last(h); ++dh) {
            const int64_t line = (n * ts.size + ts.origin(t) + dt) * hs.size +
                                 hs.origin(h) + dh;
            for (int64_t dw = ws.first(w); dw < ws.last(w); ++dw) {
              const int64_t at = line * ws.size + ws.origin(w) + dw;
              const int64_t code = (dt * hs.kernel + dh) * ws.kernel + dw;
              cells.push_back({from + at * channels, static_cast<int32_t>(code)});
            }
          }
        }
        const int64_t at = (row * ws.outputs() + w) * channels;
        pool<T>(cells, channels, to + at, where.data(), found ? found + at : nullptr);
      }
    }
  });
}

// Threads share the channels out, so that no two write to the same place, and the
// order of the additions is always the same.
template <typename T>
void backward_kernel(const at::Tensor& grad, const at::Tensor& index,
                     const PoolAxes& axes, at::Tensor& grad_x) {
  const auto& [ts, hs, ws] = axes;
  const int64_t clips = grad.size(0), channels = grad.size(1);
  const T* from = grad.const_data_ptr<T>();
  const uint8_t* found = index.const_data_ptr<uint8_t>();
  T* to = grad_x.data_ptr<T>();
  // Where the cells of a window lie, from its origin on.
  std::vector<int64_t> offsets;
  for (int64_t dt = 0; dt < ts.kernel; ++dt) {
    for (int64_t dh = 0; dh < hs.kernel; ++dh) {
      for (int64_t dw = 0; dw < ws.kernel; ++dw) {
        offsets.push_back(((dt * hs.size + dh) * ws.size + dw) * channels);
      }
    }
  }
  at::parallel_for(0, channels, 16, [&](int64_t begin, int64_t end) {
    int64_t at = 0;
    for (int64_t n = 0; n < clips; ++n) {
      for (int64_t t = 0; t < ts.outputs(); ++t) {
        for (int64_t h = 0; h < hs.outputs(); ++h) {
          const int64_t line = (n * ts.size + ts.origin(t)) * hs.size + hs.origin(h);
          for (int64_t w = 0; w < ws.outputs(); ++w, at += channels) {
            const int64_t origin = (line * ws.size + ws.origin(w)) * channels;
            for (int64_t c = begin; c < end; ++c) {
              to[origin + offsets[found[at + c]] + c] += from[at + c];
            }
          }
        }
      }
    }
  });
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> max_pool3d_cpu(const at::Tensor& x,
                                                  const PoolAxes& axes,
                                                  bool with_index) {
  const auto layout = at::MemoryFormat::ChannelsLast3d;
  const std::vector<int64_t> shape = {x.size(0), x.size(1), axes[0].outputs(),
                                      axes[1].outputs(), axes[2].outputs()};
  at::Tensor values = at::empty(shape, x.options(), layout);
  const auto bytes = x.options().dtype(at::kByte);
  at::Tensor index =
      with_index ? at::empty(shape, bytes, layout) : at::empty({0}, bytes);
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, x.scalar_type(), "max_pool3d", [&] {
        forward_kernel<scalar_t>(x, axes, values, with_index ? &index : nullptr);
      });
  return {values, index};
}

at::Tensor max_pool3d_backward_cpu(const at::Tensor& grad, const at::Tensor& index,
                                   const PoolAxes& axes) {
  const at::ScalarType dtype = grad.scalar_type();
  if (dtype == at::kHalf || dtype == at::kBFloat16) {
    // Half precision adds up in float.
    return max_pool3d_backward_cpu(grad.to(at::kFloat), index, axes).to(dtype);
  }
  at::Tensor grad_x = at::empty(
      {grad.size(0), grad.size(1), axes[0].size, axes[1].size, axes[2].size},
      grad.options(), at::MemoryFormat::ChannelsLast3d);
  grad_x.zero_();
  AT_DISPATCH_FLOATING_TYPES(dtype, "max_pool3d_backward", [&] {
    backward_kernel<scalar_t>(grad, index, axes, grad_x);
  });
  return grad_x;
}

}  // namespace mmtal_mts
