// Boundary max pooling on the CPU: 16 channels side by side, tiles in parallel.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "../boundary_pooling.h"
#include "pytorch_device_registry.hpp"

namespace mmtal_mts {
namespace {

constexpr int kLanes = 16;  // channels of a tile
constexpr int kBlock = 16;  // positions whose maximum is known in advance

// Integers that are ordered as the features are, with any NaN on top: to compare
// integers takes a third of the time of NaN-aware comparisons. Half precision and
// float have 32 bits, double 64.
template <typename K>
struct KeyTraits;

template <>
struct KeyTraits<int32_t> {
  using Float = float;
};

template <>
struct KeyTraits<int64_t> {
  using Float = double;
};

template <typename K>
inline K key_of(typename KeyTraits<K>::Float value) {
  constexpr K kTop = std::numeric_limits<K>::max();
  if (value != value) return kTop;
  value += 0;  // -0 is equal to 0
  K bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits < 0 ? bits ^ kTop : bits;
}

// Best key and its position, for each channel of a tile. Vectors of 16 bytes are what
// every x86-64 and ARM processor has.
template <typename K>
struct Best {
  typedef K Vector __attribute__((vector_size(16)));
  static constexpr int kVectors = kLanes * sizeof(K) / sizeof(Vector);
  Vector key[kVectors];
  Vector position[kVectors];

  void start(const Vector* keys, int64_t t) {
    for (int v = 0; v < kVectors; ++v) {
      key[v] = keys[t * kVectors + v];
      position[v] = Vector{} + static_cast<K>(t);
    }
  }
  // Later ones come in order, so that the first of equal values stays.
  void consider(const Vector* keys, int64_t t) {
    for (int v = 0; v < kVectors; ++v) {
      consider(v, keys[t * kVectors + v], Vector{} + static_cast<K>(t));
    }
  }
  void consider(const Best& other) {
    for (int v = 0; v < kVectors; ++v) {
      consider(v, other.key[v], other.position[v]);
    }
  }
  void consider(int v, Vector other, Vector other_position) {
    const auto better = other > key[v];
    key[v] = better ? other : key[v];
    position[v] = better ? other_position : position[v];
  }
};

// Channels of a row of features side by side, and what is found in them.
template <typename K>
class Tile {
 public:
  using Vector = typename Best<K>::Vector;

  Tile(int32_t length, int64_t count)
      : length_(length),
        keys_(int64_t(length) * Best<K>::kVectors),
        blocks_(length / kBlock),
        found_(count * Best<K>::kVectors) {}

  template <typename T>
  void load(const T* rows, int lanes) {
    K* keys = reinterpret_cast<K*>(keys_.data());
    for (int c = 0; c < lanes; ++c) {
      const T* row = rows + int64_t(c) * length_;
      for (int64_t t = 0; t < length_; ++t) keys[t * kLanes + c] = key_of<K>(row[t]);
    }
  }

  // The best of whole blocks comes first: a long range costs a sixteenth.
  void search(const Range* ranges, int64_t count) {
    const Vector* keys = keys_.data();
    for (size_t block = 0; block < blocks_.size(); ++block) {
      const int64_t first = block * kBlock;
      Best<K> best;
      best.start(keys, first);
      for (int64_t t = first + 1; t < first + kBlock; ++t) best.consider(keys, t);
      blocks_[block] = best;
    }
    for (int64_t s = 0; s < count; ++s) {
      const int64_t end = int64_t(ranges[s].last) + 1;
      int64_t t = ranges[s].first;
      Best<K> best;
      best.start(keys, t++);
      const int64_t aligned = std::min((t + kBlock - 1) / kBlock * kBlock, end);
      for (; t < aligned; ++t) best.consider(keys, t);
      for (; t + kBlock <= end; t += kBlock) best.consider(blocks_[t / kBlock]);
      for (; t < end; ++t) best.consider(keys, t);
      std::copy_n(best.position, Best<K>::kVectors,
                  &found_[s * Best<K>::kVectors]);
    }
  }

  // Position of the maximum of a channel over range s.
  int64_t found(int64_t s, int channel) const {
    return reinterpret_cast<const K*>(found_.data())[s * kLanes + channel];
  }

 private:
  int32_t length_;
  std::vector<Vector> keys_;      // (length, kLanes)
  std::vector<Best<K>> blocks_;   // (length / kBlock)
  std::vector<Vector> found_;     // (count, kLanes)
};

// Start regions, then end regions, of every clip: (N, 2, S).
std::vector<Range> read_ranges(const at::Tensor& bounds, int32_t length) {
  const int64_t n = bounds.size(0), count = bounds.size(1);
  const double* from = bounds.const_data_ptr<double>();
  std::vector<Range> ranges(n * 2 * count);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t s = 0; s < count; ++s) {
      const double* region = from + (i * count + s) * 4;
      ranges[(i * 2) * count + s] = range_of(region, length);
      ranges[(i * 2 + 1) * count + s] = range_of(region + 2, length);
    }
  }
  return ranges;
}

template <typename T>
void forward_kernel(const at::Tensor& features, const at::Tensor& bounds,
                    at::Tensor& values, at::Tensor& index) {
  using K = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  const int64_t half = features.size(1) / 2, count = bounds.size(1);
  const int32_t length = static_cast<int32_t>(features.size(2));
  const std::vector<Range> ranges = read_ranges(bounds, length);
  const T* from = features.const_data_ptr<T>();
  T* to = values.data_ptr<T>();
  int32_t* positions = index.data_ptr<int32_t>();

  // Tiles do not cross from the starts to the ends: 2N halves of `half` channels.
  const int64_t tiles = (half + kLanes - 1) / kLanes;
  at::parallel_for(0, features.size(0) * 2 * tiles, 1, [&](int64_t b, int64_t e) {
    Tile<K> tile(length, count);
    for (int64_t i = b; i < e; ++i) {
      const int64_t first = i % tiles * kLanes;
      const int lanes = static_cast<int>(std::min<int64_t>(kLanes, half - first));
      const int64_t row = i / tiles * half + first;
      tile.load(from + row * length, lanes);
      tile.search(ranges.data() + i / tiles * count, count);
      for (int c = 0; c < lanes; ++c) {
        const T* source = from + (row + c) * length;
        const int64_t out = (row + c) * count;
        for (int64_t s = 0; s < count; ++s) {
          const int64_t best = tile.found(s, c);
          positions[out + s] = static_cast<int32_t>(best);
          to[out + s] = source[best];
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

}  // namespace
}  // namespace mmtal_mts
