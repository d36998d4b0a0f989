"""Plain re-implementations of the slow steps, written as they usually are.

Tests compare the steps with them, and tools/analysis_tools/benchmark.py measures how
much longer they take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtal_mts.models.backbones import inception_i3d as i3d
from mmtal_mts.models.layers import SameConv1d, same_padding
from mmtal_mts.structures import Segments


def pool_segment_by_segment(features: Tensor, segments: Tensor) -> Tensor:
    """Boundary pooling by a slice and a maximum for every region."""
    length = features.shape[2]
    halves = features.chunk(2, dim=1)
    clips = []
    for clip, regions in enumerate(segments.tolist()):
        columns = []
        for region in regions:
            bounds = [min(max(int(b), 0), length - 1) for b in region]
            ends = zip(halves, bounds[::2], bounds[1::2], strict=True)
            parts = [half[clip, :, a : max(a, b) + 1] for half, a, b in ends]
            columns.append(torch.cat([part.max(dim=1).values for part in parts]))
        clips.append(torch.stack(columns, dim=1))
    return torch.stack(clips)


def lowering(
    method: str = 'gaussian', sigma: float = 0.5, threshold: float = 0.3
) -> Callable[[float], float]:
    """Factor by which soft-NMS lowers a score, as a function of the tIoU."""
    return {
        'gaussian': lambda tiou: math.exp(-(tiou**2) / sigma),
        'linear': lambda tiou: 1 - tiou if tiou > threshold else 1.0,
        'hard': lambda tiou: 0.0 if tiou > threshold else 1.0,
    }[method]


def soft_nms_in_python(
    segments: Sequence[Sequence[float]],
    scores: Sequence[float],
    factor: Callable[[float], float] = lowering(),  # noqa: B008
    min_score: float = 0.001,
    max_keep: int | None = None,
) -> list[tuple[int, float]]:
    """Soft-NMS: position and lowered score of each kept segment."""
    # Of equal scores the first by start and end.
    order = sorted(range(len(scores)), key=lambda row: (*segments[row], row))
    live = {row: float(scores[row]) for row in order if scores[row] >= min_score}
    kept: list[tuple[int, float]] = []
    while live and (max_keep is None or len(kept) < max_keep):
        best = max(live, key=lambda row: live[row])
        kept.append((best, live.pop(best)))
        start, end = segments[best]
        for row in list(live):
            other_start, other_end = segments[row]
            overlap = min(end, other_end) - max(start, other_start)
            if overlap <= 0:
                continue
            by = factor(overlap / (end - start + other_end - other_start - overlap))
            live[row] *= by
            if by == 0 or live[row] < min_score:
                del live[row]
    return kept


def random_results(
    num_detections: int, num_videos: int, num_segments: int, num_classes: int
) -> tuple[dict[str, Segments], dict[str, Segments]]:
    """Ground truth like that of THUMOS14, and detections around it."""
    random = np.random.default_rng(0)
    video = random.integers(0, num_videos, num_segments)
    # As there, a video has actions of one or two classes.
    label = (video + random.integers(0, 2, num_segments)) % num_classes
    start = random.uniform(0, 600, num_segments)
    segment = np.stack([start, start + random.uniform(1, 10, num_segments)], axis=1)
    source = random.integers(0, num_segments, num_detections)
    found = segment[source] + random.normal(0, 1.5, (num_detections, 2))
    truth = Segments(segment, label)
    detected = Segments(
        np.sort(found, axis=1), label[source], random.uniform(0, 1, num_detections)
    )
    names = [f'video_{number}' for number in range(num_videos)]
    return (
        {n: truth[video == i] for i, n in enumerate(names)},
        {n: detected[video[source] == i] for i, n in enumerate(names)},
    )


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
        # Area under the curve with precision made monotone.
        precision = np.cumsum(hits, axis=1) / np.arange(1, len(found) + 1)
        monotone = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        ap[:, label] = (monotone * hits).sum(axis=1) / len(truth)
    return ap


def _data_frame(videos: Mapping[str, Segments]) -> pd.DataFrame:
    """A row for each segment."""
    parts = [
        pd.DataFrame(found.segments, columns=['start', 'end']).assign(
            video=video, label=found.labels, score=found.scores
        )
        for video, found in videos.items()
    ]
    return pd.concat(parts, ignore_index=True)


def load_whole_array(
    path: Path, clip_len: int, size: int, random: np.random.Generator
) -> np.ndarray:
    """A training clip (C, T, H, W) as floats in [-1, 1] out of an array of a video."""
    video = np.load(path)
    first = random.integers(len(video) - clip_len + 1)
    y, x = (random.integers(side - size + 1) for side in video.shape[1:3])
    clip = video[first : first + clip_len, y : y + size, x : x + size]
    clip = clip[:, :, ::-1] if random.random() < 0.5 else clip
    clip = clip.astype(np.float32) / 255 * 2 - 1
    return np.ascontiguousarray(clip.transpose(3, 0, 1, 2))


def _pad(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Copies ``x`` (N, C, *axes) into a larger tensor with SAME padding."""
    sides: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        sides = [*same_padding(size, k, s), *sides]
    return F.pad(x, sides)


# The same modules with another forward pass: padding, convolution, batch norm and ReLU
# one by one, branch by branch, level by level.
class _PlainUnit3D(i3d.Unit3D):
    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv3d
        return F.relu(self.bn(conv(_pad(x, conv.kernel_size, conv.stride))))


class _PlainMaxPool3d(i3d.SameMaxPool3d):
    def forward(self, x: Tensor) -> Tensor:
        padded = _pad(x, self.kernel_size, self.stride)
        return F.max_pool3d(padded, self.kernel_size, self.stride)


class _PlainBlock(i3d.InceptionBlock):
    def forward(self, x: Tensor) -> Tensor:
        first, second = self.b1b(self.b1a(x)), self.b2b(self.b2a(x))
        return torch.cat([self.b0(x), first, second, self.b3b(self.b3a(x))], dim=1)


class _PlainConv1d(SameConv1d):
    def forward(self, x: Tensor) -> Tensor:
        x = _pad(x, self.kernel_size, self.stride)
        return F.conv1d(x, self.weight, self.bias, self.stride)

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(map(self, levels))


_PLAIN_UNITS = _PlainUnit3D, _PlainMaxPool3d, _PlainBlock, _PlainConv1d
_PLAIN = {plain.__base__: plain for plain in _PLAIN_UNITS}


def make_plain(model: nn.Module) -> nn.Module:
    """Takes the optimisations out of I3D, or a detector with it, in place.

    Boundary pooling stays as it is: the published code has a compiled one as well.
    """
    for module in model.modules():
        # Same parameters, another forward.
        module.__class__ = _PLAIN.get(type(module), type(module))
        if isinstance(module, i3d.InceptionI3D):
            module.channels_last = False
            module.freeze_bn = True  # as AFSD has it
    return model.train(model.training)
