"""Soft-NMS of the detections of one video."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mmtal_mts.evaluation.functional.post_processing import merge_windows
from mmtal_mts.structures import Segments

from .timing import Case


def soft_nms_in_python(
    segments: Sequence[Sequence[float]],
    scores: Sequence[float],
    sigma: float = 0.5,
    min_score: float = 0.001,
) -> list[tuple[int, float]]:
    """Baseline: Gaussian soft-NMS, segment by segment.

    Args:
        segments: S pairs of start and end.
        scores: S scores.
        sigma: Width of the Gaussian.
        min_score: Segments below it are removed.

    Returns:
        Position in the input and lowered score of each kept segment, best first.
    """
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


def random_detections(
    num_segments: int, num_classes: int, duration_s: float, seed: int = 0
) -> Segments:
    """Detections of one video, in no particular order.

    Args:
        num_segments: Segments of each class.
        num_classes: Classes K.
        duration_s: Length of the video in seconds.
        seed: Seed of the random numbers.

    Returns:
        K times ``num_segments`` detections, classes one after the other.
    """
    random = np.random.default_rng(seed)
    count = num_segments * num_classes
    centre = random.uniform(0, duration_s, count)
    half = random.uniform(0.25, 10, count)
    return Segments(
        np.stack([centre - half, centre + half], axis=1),
        np.repeat(np.arange(num_classes), num_segments),
        random.uniform(0.001, 1, count),
    )


def soft_nms_cases(
    num_segments: int = 5000, num_classes: int = 20, duration_s: float = 600.0
) -> list[Case]:
    """The alternatives; an item is one class.

    The loop is so slow that it gets a single class.

    Args:
        num_segments: Segments of each class.
        num_classes: Classes K.
        duration_s: Length of the video in seconds.

    Returns:
        The Python loop, and the merging of detections that the metric uses.
    """
    found = random_detections(num_segments, num_classes, duration_s)
    first = found[found.labels == 0]
    segments, scores = first.segments.tolist(), first.scores.tolist()
    test_cfg = dict(
        nms=dict(method='gaussian', sigma=0.5, min_score=0.001), clamp=False
    )
    return [
        Case('Python loop', lambda: soft_nms_in_python(segments, scores)),
        Case('ours, all classes', lambda: merge_windows([found], None, test_cfg), num_classes),
    ]
