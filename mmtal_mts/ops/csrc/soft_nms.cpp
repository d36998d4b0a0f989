// Soft-NMS of segments on the time axis, all groups in one call. CPU only: the scores
// of a group change from step to step, and there are few groups.
#include <ATen/Parallel.h>
#include <torch/library.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

namespace mmtal_mts {
namespace {

constexpr double kSuppressed = -1;

enum Method : int64_t { kGaussian, kLinear, kHard };

struct Settings {
  int64_t method;
  double sigma, iou_threshold, min_score;
  int64_t max_keep;  // of a group; negative: all

  // What the score of a segment is multiplied by.
  double factor(double tiou) const {
    if (method == kGaussian) return std::exp(tiou * tiou / -sigma);
    if (tiou <= iou_threshold) return 1;
    return method == kLinear ? 1 - tiou : 0;
  }
};

// One group of segments (count, 2), sorted by start, and scores (count,): fills the
// positions of those that are kept and their lowered scores, best first.
void suppress(const double* segments, const double* scores, int64_t count,
              const Settings& settings, std::vector<int64_t>& picked,
              std::vector<double>& lowered) {
  std::vector<double> start(count), end(count), latest_end(count);
  std::vector<double> live(scores, scores + count);
  double latest = -INFINITY;
  for (int64_t i = 0; i < count; ++i) {
    start[i] = segments[2 * i];
    end[i] = segments[2 * i + 1];
    latest_end[i] = latest = std::max(latest, end[i]);
    if (live[i] < settings.min_score) live[i] = kSuppressed;
  }
  const auto length = [&](int64_t i) { return std::max(end[i] - start[i], 0.0); };
  const int64_t limit =
      settings.max_keep < 0 ? count : std::min(settings.max_keep, count);
  while (static_cast<int64_t>(picked.size()) < limit) {
    // The first of equal scores.
    const int64_t best = std::max_element(live.begin(), live.end()) - live.begin();
    if (live[best] < 0) break;
    picked.push_back(best);
    lowered.push_back(live[best]);
    live[best] = kSuppressed;
    if (length(best) == 0) continue;
    // The largest end so far only grows: what overlaps lies in one slice.
    const int64_t first =
        std::upper_bound(latest_end.begin(), latest_end.end(), start[best]) -
        latest_end.begin();
    const int64_t last =
        std::lower_bound(start.begin(), start.end(), end[best]) - start.begin();
    for (int64_t i = first; i < last; ++i) {
      if (live[i] < 0) continue;
      const double overlap =
          std::max(std::min(end[i], end[best]) - std::max(start[i], start[best]), 0.0);
      const double factor =
          settings.factor(overlap / (length(i) + length(best) - overlap));
      live[i] *= factor;
      if (live[i] < settings.min_score || factor == 0) live[i] = kSuppressed;
    }
  }
}

// segments (S, 2) and scores (S,), float64, by group and start; bounds (G + 1,) int64,
// where groups begin. Returns positions (M,) and lowered scores (M,), by group, best
// first.
std::tuple<at::Tensor, at::Tensor> soft_nms(
    const at::Tensor& segments, const at::Tensor& scores, const at::Tensor& bounds,
    int64_t method, double sigma, double iou_threshold, double min_score,
    int64_t max_keep) {
  TORCH_CHECK_VALUE(segments.dim() == 2 && segments.size(1) == 2 &&
                        scores.dim() == 1 && scores.size(0) == segments.size(0) &&
                        segments.scalar_type() == at::kDouble &&
                        scores.scalar_type() == at::kDouble,
                    "expected float64 segments (S, 2) and scores (S,), not ",
                    segments.sizes(), " and ", scores.sizes());
  TORCH_CHECK_VALUE(bounds.dim() == 1 && bounds.size(0) > 0 &&
                        bounds.scalar_type() == at::kLong,
                    "expected bounds (G + 1,) int64, not ", bounds.sizes());
  const at::Tensor boxes = segments.contiguous(), values = scores.contiguous();
  const at::Tensor begins = bounds.contiguous();
  const int64_t* at = begins.const_data_ptr<int64_t>();
  const int64_t groups = bounds.size(0) - 1;
  TORCH_CHECK_VALUE(at[0] == 0 && at[groups] == scores.size(0) &&
                        std::is_sorted(at, at + groups + 1),
                    "bounds must ascend from 0 to ", scores.size(0));
  const Settings settings{method, sigma, iou_threshold, min_score, max_keep};
  std::vector<std::vector<int64_t>> picked(groups);
  std::vector<std::vector<double>> lowered(groups);
  at::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      suppress(boxes.const_data_ptr<double>() + 2 * at[g],
               values.const_data_ptr<double>() + at[g], at[g + 1] - at[g], settings,
               picked[g], lowered[g]);
    }
  });
  int64_t total = 0;
  for (const auto& part : picked) total += part.size();
  at::Tensor index = at::empty({total}, begins.options());
  at::Tensor kept = at::empty({total}, values.options());
  int64_t* index_at = index.data_ptr<int64_t>();
  double* kept_at = kept.data_ptr<double>();
  for (int64_t g = 0; g < groups; ++g) {
    for (const int64_t i : picked[g]) *index_at++ = at[g] + i;
    kept_at = std::copy(lowered[g].begin(), lowered[g].end(), kept_at);
  }
  return {index, kept};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(mmtal_mts, m) {
  m.def(
      "soft_nms(Tensor segments, Tensor scores, Tensor bounds, int method, "
      "float sigma, float iou_threshold, float min_score, int max_keep) "
      "-> (Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(mmtal_mts, CPU, m) { m.impl("soft_nms", &soft_nms); }

}  // namespace mmtal_mts
