"""Plain re-implementations of the slow steps, to which benchmark.py compares ours.

They are written for this purpose as the step is usually written, and give the same
results, which tests/test_tools/test_benchmark.py checks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtal_mts.models.backbones.inception_i3d import (
    InceptionBlock,
    SameMaxPool3d,
    Unit3D,
)
from mmtal_mts.models.layers import ConvNormReLU1d, SameConv1d, same_padding
from mmtal_mts.structures import Segments


def pool_segment_by_segment(features: Tensor, segments: Tensor) -> Tensor:
    """Boundary pooling by a slice and a maximum for every region."""
    length = features.shape[2]
    halves = features.chunk(2, dim=1)
    clips = []
    for clip, regions in enumerate(segments.tolist()):
        columns = []
        for region in regions:
            parts = []
            for half, bounds in zip(halves, (region[:2], region[2:]), strict=True):
                first, last = (min(max(int(b), 0), length - 1) for b in bounds)
                stretch = half[clip, :, first : max(first, last) + 1]
                parts.append(stretch.max(dim=1).values)
            columns.append(torch.cat(parts))
        clips.append(torch.stack(columns, dim=1))
    return torch.stack(clips)


def soft_nms_in_python(
    segments: Sequence[Sequence[float]],
    scores: Sequence[float],
    sigma: float = 0.5,
    min_score: float = 0.001,
) -> list[tuple[int, float]]:
    """Gaussian soft-NMS: position and lowered score of each kept segment."""
    live = {row: score for row, score in enumerate(scores) if score >= min_score}
    kept = []
    while live:
        best = max(live, key=lambda row: live[row])
        kept.append((best, live.pop(best)))
        start, end = segments[best]
        for row in list(live):
            other_start, other_end = segments[row]
            overlap = min(end, other_end) - max(start, other_start)
            if overlap <= 0:
                continue
            union = (end - start) + (other_end - other_start) - overlap
            live[row] *= math.exp(-((overlap / union) ** 2) / sigma)
            if live[row] < min_score:
                del live[row]
    return kept


def evaluate_data_frames(
    ground_truth: Mapping[str, Segments],
    detections: Mapping[str, Segments],
    num_classes: int,
    thresholds: Sequence[float],
) -> np.ndarray:
    """Average precision (M, K) by data frames, a row at a time."""
    truth_rows, rows = _data_frame(ground_truth), _data_frame(detections)
    rows = rows.sort_values('score', ascending=False, kind='stable')
    ap = np.full((len(thresholds), num_classes), np.nan)
    for label, truth in truth_rows.groupby('label'):
        by_video = truth.groupby('video')
        found = rows[rows.label == label]
        hits = np.zeros((len(thresholds), len(found)))
        taken = set()
        for number, (_, row) in enumerate(found.iterrows()):
            try:
                video = by_video.get_group(row.video)
            except KeyError:
                continue
            starts, ends = video['start'].to_numpy(), video['end'].to_numpy()
            overlap = np.minimum(row.end, ends) - np.maximum(row.start, starts)
            overlap = overlap.clip(0)
            tiou = overlap / ((row.end - row.start) + (ends - starts) - overlap)
            order = np.argsort(tiou)[::-1]
            for level, threshold in enumerate(thresholds):
                for place in order:
                    if tiou[place] < threshold:
                        break
                    if (level, video.index[place]) not in taken:
                        taken.add((level, video.index[place]))
                        hits[level, number] = 1
                        break
        ap[:, label] = [_area(row, len(truth)) for row in hits]
    return ap


def _data_frame(videos: Mapping[str, Segments]) -> Any:
    """A pandas.DataFrame with a row for each segment."""
    import pandas

    parts = [
        pandas.DataFrame(
            dict(zip(('start', 'end'), found.segments.T, strict=True))
        ).assign(video=video, label=found.labels, score=found.scores)
        for video, found in videos.items()
    ]
    return pandas.concat(parts, ignore_index=True)


def _area(hits: np.ndarray, positives: int) -> float:
    """Area under the precision-recall curve with precision made monotone."""
    true = np.cumsum(hits)
    precision = [*(true / np.arange(1, len(hits) + 1)), 0.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum(p for hit, p in zip(hits, precision, strict=False) if hit) / positives


def _pad(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Copies ``x`` (N, C, *axes) into a larger tensor with SAME padding."""
    sides: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        sides = [*same_padding(size, k, s), *sides]
    return F.pad(x, sides)


# The same modules with another forward pass: padding, convolution, batch norm and ReLU
# one by one, branch by branch, level by level.
class _PlainUnit3D(Unit3D):
    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv3d
        return F.relu(self.bn(conv(_pad(x, conv.kernel_size, conv.stride))))


class _PlainMaxPool3d(SameMaxPool3d):
    def forward(self, x: Tensor) -> Tensor:
        padded = _pad(x, self.kernel_size, self.stride)
        return F.max_pool3d(padded, self.kernel_size, self.stride)


class _PlainBlock(InceptionBlock):
    def forward(self, x: Tensor) -> Tensor:
        first, second = self.b1b(self.b1a(x)), self.b2b(self.b2a(x))
        return torch.cat([self.b0(x), first, second, self.b3b(self.b3a(x))], dim=1)


class _PlainConv1d(SameConv1d):
    def forward(self, x: Tensor) -> Tensor:
        x = _pad(x, self.kernel_size, self.stride)
        return F.conv1d(x, self.weight, self.bias, self.stride)

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self(level) for level in levels)


class _PlainConvNormReLU1d(ConvNormReLU1d):
    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self(level) for level in levels)


_PLAIN = {
    Unit3D: _PlainUnit3D,
    SameMaxPool3d: _PlainMaxPool3d,
    InceptionBlock: _PlainBlock,
    SameConv1d: _PlainConv1d,
    ConvNormReLU1d: _PlainConvNormReLU1d,
}


def make_plain(model: nn.Module) -> nn.Module:
    """Takes the optimisations out of a detector with an I3D backbone, in place.

    Boundary pooling stays as it is: the published code has a compiled one as well.
    """
    for module in model.modules():
        # Same parameters, another forward.
        module.__class__ = _PLAIN.get(type(module), type(module))
    model.backbone.channels_last = False
    model.backbone.freeze_bn = True  # as AFSD has it
    return model.train(model.training)
