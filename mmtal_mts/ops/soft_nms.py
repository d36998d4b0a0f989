"""Soft non-maximum suppression of segments on the time axis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from .compiled import compiled_ops_problem

METHODS = ('gaussian', 'linear', 'hard')
_SUPPRESSED = -1.0


def soft_nms_1d(
    segments: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    method: str = 'gaussian',
    sigma: float = 0.5,
    iou_threshold: float = 0.3,
    min_score: float = 0.001,
    max_keep: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeatedly take the best segment and lower the scores of those it overlaps.

    The best remaining segment is kept with the score it has by then, and every
    segment still remaining has its score multiplied by a factor of its tIoU with
    the kept one:

    - ``gaussian``: ``exp(-tIoU ** 2 / sigma)``;
    - ``linear``: ``1 - tIoU`` where the tIoU is above ``iou_threshold``, else 1;
    - ``hard``: 0 where the tIoU is above ``iou_threshold``, else 1.

    A segment whose factor is 0 or whose score falls below ``min_score`` is removed.
    Everything that survives is returned; the inputs are not changed. Equal scores
    are taken in order of start, end, then position in the input. Segments without a
    positive length (end at or before start) overlap nothing: they are neither
    lowered nor do they lower others.

    All groups (classes, videos) go through one call: compiled and in parallel where
    the operators were built, else one after the other in numpy.

    Args:
        segments: (S, 2) start and end, in any one unit of time.
        scores: (S,), not negative.
        groups: (S,) integers, the group of each segment. Segments of different groups
            do not affect each other. None: a single group.
        method: 'gaussian', 'linear' or 'hard'.
        sigma: Width of the Gaussian; larger lowers less.
        iou_threshold: Only for 'linear' and 'hard'.
        min_score: Segments below it, at the start or after lowering, are removed.
        max_keep: Most segments to keep of a group. None keeps all.

    Returns:
        Kept segments (M, 2), their lowered scores (M,), by ascending group and in a
        group descending, and their positions in the input (M,), int64. The first two
        are of the dtypes of the inputs.

    Raises:
        ValueError: A shape, a value or a setting is unusable.
    """
    by_sigma = method == 'gaussian'
    for setting, fits in {
        f'method must be one of {METHODS}, got {method!r}': method in METHODS,
        f'sigma must be > 0, got {sigma}': sigma > 0 or not by_sigma,
        f'iou_threshold must be in [0, 1], got {iou_threshold}': (
            0 <= iou_threshold <= 1 or by_sigma
        ),
        f'min_score must be >= 0, got {min_score}': min_score >= 0,
        f'max_keep must be >= 0 or None, got {max_keep}': (max_keep or 0) >= 0,
    }.items():
        if not fits:
            raise ValueError(f'soft_nms_1d: {setting}')
    segments, scores = np.asarray(segments), np.asarray(scores)
    boxes, values = (x.astype(np.float64) for x in (segments, scores))
    if values.ndim != 1 or boxes.size != 2 * values.size:
        raise ValueError(
            'soft_nms_1d: expected segments (S, 2) and scores (S,), got '
            f'{boxes.shape} and {values.shape}'
        )
    boxes = boxes.reshape(-1, 2)
    for name, rows, fits in (
        ('segment', boxes, np.isfinite(boxes).all(axis=1)),
        ('score', values, np.isfinite(values) & (values >= 0)),
    ):
        if not fits.all():
            bad = np.flatnonzero(~fits)
            raise ValueError(
                f'soft_nms_1d: {name} {bad[0]} is {rows[bad[0]].tolist()} ({bad.size} '
                'in all are NaN, infinite, or scores below 0); remove them or look for '
                'the step that made them'
            )
    count = len(values)
    group = np.asarray([0] * count if groups is None else groups)
    if group.shape != (count,) or (count and group.dtype.kind not in 'iu'):
        raise ValueError(
            f'soft_nms_1d: expected groups ({count},) of integers, got '
            f'{group.shape} of {group.dtype}'
        )
    order = np.lexsort((boxes[:, 1], boxes[:, 0], group))
    bounds = np.array([0, *np.flatnonzero(np.diff(group[order])) + 1, count])
    boxes, values = boxes[order], values[order]
    if compiled_ops_problem() is None:
        inputs = map(torch.from_numpy, (boxes, values, bounds))
        limit = -1 if max_keep is None else max_keep
        found = torch.ops.mmtal_mts.soft_nms(
            *inputs, METHODS.index(method), sigma, iou_threshold, min_score, limit
        )
        picked, lowered = (part.numpy() for part in found)
    else:
        factor = partial(_factor, method, sigma, iou_threshold)
        picked, lowered = [], []
        for first, last in pairwise(bounds):
            own, live = boxes[first:last], values[first:last]
            kept, scores_left = _suppress(own, live, factor, min_score, max_keep)
            picked += [first + place for place in kept]
            lowered += scores_left
        picked, lowered = np.array(picked, np.int64), np.array(lowered, np.float64)
    kept = order[picked]
    dtype = scores.dtype if scores.dtype.kind == 'f' else np.float64
    return segments[kept], lowered.astype(dtype), kept


def _factor(
    method: str, sigma: float, iou_threshold: float, tiou: np.ndarray
) -> np.ndarray:
    """What the scores of segments with a tIoU (M,) are multiplied by."""
    if method == 'gaussian':
        return np.exp(tiou * tiou / -sigma)
    lowered = 1 - tiou if method == 'linear' else 0.0
    return np.where(tiou > iou_threshold, lowered, 1.0)


def _suppress(
    boxes: np.ndarray,
    live: np.ndarray,
    factor: Callable[[np.ndarray], np.ndarray],
    min_score: float,
    max_keep: int | None,
) -> tuple[list[int], list[float]]:
    """The suppression loop; ``boxes`` are sorted by start, ``live`` is changed."""
    start, end = np.ascontiguousarray(boxes.T)
    length = np.maximum(end - start, 0.0)
    # Segments are sorted by start, and the largest end so far only grows: whatever
    # overlaps segment i lies in one slice, found by bisection.
    first = np.searchsorted(np.maximum.accumulate(end), start, side='right')
    last = np.searchsorted(start, end, side='left')
    live[live < min_score] = _SUPPRESSED
    picked, lowered = [], []
    while len(picked) < (len(live) if max_keep is None else min(max_keep, len(live))):
        best = int(live.argmax())
        if live[best] < 0:
            break
        picked.append(best)
        lowered.append(live[best])
        live[best] = _SUPPRESSED
        if length[best] == 0:
            continue
        near = slice(first[best], last[best])
        overlap = np.minimum(end[near], end[best])
        overlap -= np.maximum(start[near], start[best])
        np.maximum(overlap, 0.0, out=overlap)
        by = factor(overlap / (length[near] + length[best] - overlap))
        remaining = live[near]
        np.multiply(remaining, by, out=remaining, where=remaining > 0)
        remaining[(remaining < min_score) | (by == 0)] = _SUPPRESSED
    return picked, lowered
