// Boundary max pooling: schema, checks, dispatch by device; and the CPU version, with
// 16 channels side by side and tiles in parallel.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "boundary_pooling.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <torch/library.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "pytorch_device_registry.hpp"

namespace mmtal_mts {

std::tuple<at::Tensor, at::Tensor> boundary_max_pooling_impl(
    const at::Tensor& features, const at::Tensor& bounds) {
  return DISPATCH_DEVICE_IMPL(boundary_max_pooling_impl, features, bounds);
}

namespace {

constexpr int kLanes = 16;  // channels of a tile
constexpr int kBlock = 16;  // positions whose maximum is known in advance

// Integers that are ordered as the features are, with any NaN on top: to compare
// integers takes a third of the time of NaN-aware comparisons. Half precision and
// float have 32 bits, double 64.
template <typename K>
inline K key_of(std::conditional_t<sizeof(K) == 8, double, float> value) {
  constexpr K kTop = std::numeric_limits<K>::max();
  if (value != value) return kTop;
  value += 0;  // -0 is equal to 0
  K bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits < 0 ? bits ^ kTop : bits;
}

// Best key and its position, for each channel of a tile. Others are considered in
// order, so that the first of equal values stays. Vectors of 16 bytes are what every
// x86-64 and ARM processor has.
template <typename K>
struct Best {
  typedef K Vector __attribute__((vector_size(16)));
  static constexpr int kVectors = kLanes * sizeof(K) / sizeof(Vector);
  Vector key[kVectors], position[kVectors];

  void start(const Vector* keys, int64_t t) {
    for (int v = 0; v < kVectors; ++v) {
      key[v] = keys[t * kVectors + v];
      position[v] = Vector{} + static_cast<K>(t);
    }
  }
  void consider(const Vector* keys, int64_t t) {
    Best other;
    other.start(keys, t);
    consider(other);
  }
  void consider(const Best& other) {
    for (int v = 0; v < kVectors; ++v) {
      const auto better = other.key[v] > key[v];
      key[v] = better ? other.key[v] : key[v];
      position[v] = better ? other.position[v] : position[v];
    }
  }
};

template <typename T>
void forward_kernel(const at::Tensor& features, const at::Tensor& bounds,
                    at::Tensor& values, at::Tensor& index) {
  using K = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  const int64_t half = features.size(1) / 2, count = bounds.size(1);
  const int32_t length = static_cast<int32_t>(features.size(2));
  T* to = values.data_ptr<T>();
  int32_t* positions = index.data_ptr<int32_t>();
  // Tiles do not cross from the starts to the ends: 2N halves of `half` channels.
  const int64_t tiles = (half + kLanes - 1) / kLanes;
  at::parallel_for(0, features.size(0) * 2 * tiles, 1, [&](int64_t b, int64_t e) {
    // (length, kLanes), and (count, kLanes) positions of the maxima.
    std::vector<typename Best<K>::Vector> keys(int64_t(length) * Best<K>::kVectors);
    std::vector<typename Best<K>::Vector> found(count * Best<K>::kVectors);
    K* key = reinterpret_cast<K*>(keys.data());
    std::vector<Best<K>> blocks(length / kBlock);
    for (int64_t i = b; i < e; ++i) {
      const int64_t first_channel = i % tiles * kLanes;
      const int64_t row = i / tiles * half + first_channel;
      const int lanes =
          static_cast<int>(std::min<int64_t>(kLanes, half - first_channel));
      const T* from = features.const_data_ptr<T>() + row * length;
      for (int c = 0; c < lanes; ++c) {
        for (int64_t t = 0; t < length; ++t) {
          key[t * kLanes + c] = key_of<K>(from[c * int64_t(length) + t]);
        }
      }
      // The best of whole blocks comes first: a long range costs a sixteenth.
      for (int64_t block = 0; block < length / kBlock; ++block) {
        blocks[block].start(keys.data(), block * kBlock);
        for (int64_t t = block * kBlock + 1; t < (block + 1) * kBlock; ++t) {
          blocks[block].consider(keys.data(), t);
        }
      }
      // Start regions, then end regions, of a clip.
      const double* region = bounds.const_data_ptr<double>() +
                             i / tiles / 2 * count * 4 + i / tiles % 2 * 2;
      for (int64_t s = 0; s < count; ++s) {
        const Range range = range_of(region + s * 4, length);
        const int64_t end = int64_t(range.last) + 1;
        int64_t t = range.first;
        Best<K> best;
        best.start(keys.data(), t++);
        const int64_t aligned = std::min((t + kBlock - 1) / kBlock * kBlock, end);
        for (; t < aligned; ++t) best.consider(keys.data(), t);
        for (; t + kBlock <= end; t += kBlock) best.consider(blocks[t / kBlock]);
        for (; t < end; ++t) best.consider(keys.data(), t);
        std::copy_n(best.position, Best<K>::kVectors, &found[s * Best<K>::kVectors]);
      }
      const K* position = reinterpret_cast<const K*>(found.data());
      for (int c = 0; c < lanes; ++c) {
        for (int64_t s = 0; s < count; ++s) {
          const int64_t out = (row + c) * count + s, t = position[s * kLanes + c];
          positions[out] = static_cast<int32_t>(t);
          to[out] = from[c * int64_t(length) + t];
        }
      }
    }
  });
}

std::tuple<at::Tensor, at::Tensor> forward_cpu(const at::Tensor& features,
                                               const at::Tensor& bounds) {
  at::Tensor values = at::empty(
      {features.size(0), features.size(1), bounds.size(1)}, features.options());
  at::Tensor index = at::empty_like(values, values.options().dtype(at::kInt));
  if (values.numel() > 0) {
    AT_DISPATCH_FLOATING_TYPES_AND2(
        at::kHalf, at::kBFloat16, features.scalar_type(), "boundary_max_pooling",
        [&] { forward_kernel<scalar_t>(features, bounds, values, index); });
  }
  return {values, index};
}

REGISTER_DEVICE_IMPL(boundary_max_pooling_impl, CPU, forward_cpu);

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
