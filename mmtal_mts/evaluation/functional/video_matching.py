"""Which detection finds which ground-truth segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .detections import Detections
from .matching import match_detections


class GroundTruth(Protocol):
    """Ground truth of one video, e.g. a ``VideoAnnotation``.

    Attributes:
        segments (np.ndarray): (G, 2), seconds.
        labels (np.ndarray): (G,), 0..K-1.
    """

    segments: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Matching:
    """The segments and the detections of all videos, and which belong together.

    Attributes:
        tiou_thresholds (np.ndarray): (M,).
        num_classes (int): K.
        video_ids (tuple[str, ...]): Videos of the ground truth.
        truth_video (np.ndarray): (G,) positions in ``video_ids``, ascending.
        truth_segments (np.ndarray): (G, 2) seconds.
        truth_labels (np.ndarray): (G,).
        video (np.ndarray): (S,) positions in ``video_ids``. Detections are ordered by
            descending score, all videos and classes together.
        segments (np.ndarray): (S, 2) seconds.
        scores (np.ndarray): (S,).
        labels (np.ndarray): (S,) labels that occur in the ground truth.
        matched (np.ndarray): (M, S) position of the segment that a detection finds at
            a threshold, or `UNMATCHED`.
        ignored (dict[str, int]): Detections left out: ``unknown_video`` and
            ``unknown_class``, because no ground truth knows their video or class.
    """

    tiou_thresholds: np.ndarray
    num_classes: int
    video_ids: tuple[str, ...]
    truth_video: np.ndarray
    truth_segments: np.ndarray
    truth_labels: np.ndarray
    video: np.ndarray
    segments: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    matched: np.ndarray
    ignored: dict[str, int]

    @property
    def positives(self) -> np.ndarray:
        """Number of ground-truth segments (K,) of each class."""
        return np.bincount(self.truth_labels, minlength=self.num_classes)


def match_videos(
    ground_truth: Mapping[str, GroundTruth],
    detections: Mapping[str, Detections],
    num_classes: int,
    tiou_thresholds: Sequence[float],
) -> Matching:
    """Match detections to ground truth as the ActivityNet evaluation does.

    For each class the detections of all videos are taken by descending score, equal
    scores in the given order. Each goes to the segment of its video and class that it
    overlaps most among those not taken yet, if their tIoU reaches the threshold.

    Args:
        ground_truth (Mapping[str, GroundTruth]): By video id: the videos to evaluate.
        detections (Mapping[str, Detections]): By video id.
        num_classes (int): K.
        tiou_thresholds (Sequence[float]): M thresholds in (0, 1].

    Returns:
        Matching: All segments, all detections, and the pairs.

    Raises:
        ValueError: If a threshold is out of range, the ground truth holds no
            segment, a label is out of range, or a detection is not finite.
    """
    thresholds = np.asarray(tiou_thresholds, dtype=np.float64)
    if not thresholds.size or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(
            f'tIoU thresholds must be in (0, 1], got {list(tiou_thresholds)}'
        )
    truth_video, truth = _flatten_truth(ground_truth, num_classes)
    occurs = np.bincount(truth.labels, minlength=num_classes) > 0
    video, found, ignored = _flatten_detections(ground_truth, detections, occurs)
    order = np.argsort(-found.scores, kind='stable')
    video, found = video[order], found[order]

    matched = match_detections(
        found.segments,
        video * num_classes + found.labels,
        truth.segments,
        truth_video * num_classes + truth.labels,
        thresholds,
    )
    return Matching(
        tiou_thresholds=thresholds,
        num_classes=num_classes,
        video_ids=tuple(ground_truth),
        truth_video=truth_video,
        truth_segments=truth.segments,
        truth_labels=truth.labels,
        video=video,
        segments=found.segments,
        scores=found.scores,
        labels=found.labels,
        matched=matched,
        ignored=ignored,
    )


def group_equal(keys: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each key that occurs, and its positions in ascending order.

    Args:
        keys (np.ndarray): (S,) integers.

    Returns:
        list[tuple[int, np.ndarray]]: By ascending key.
    """
    if not len(keys):
        return []
    order = np.argsort(keys, kind='stable')
    groups = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    return [(int(keys[group[0]]), group) for group in groups]


def _flatten_truth(
    ground_truth: Mapping[str, GroundTruth], num_classes: int
) -> tuple[np.ndarray, Detections]:
    """All segments, with a score that says nothing, and the video of each."""
    parts, videos = [], []
    for row, (video_id, truth) in enumerate(ground_truth.items()):
        labels = np.asarray(truth.labels, dtype=np.int64)
        if labels.size and not (0 <= labels.min() and labels.max() < num_classes):
            raise ValueError(
                f'ground truth of video {video_id}: label outside 0..{num_classes - 1}'
            )
        parts.append(Detections(truth.segments, np.ones(len(labels)), labels))
        videos.append(np.full(len(labels), row, dtype=np.int64))
    merged = Detections.concatenate(parts)
    if not len(merged):
        raise ValueError(
            f'the ground truth ({len(ground_truth)} videos) holds no segment: '
            'nothing to evaluate; check the annotation file and the subset'
        )
    return np.concatenate(videos), merged


def _flatten_detections(
    ground_truth: Mapping[str, GroundTruth],
    detections: Mapping[str, Detections],
    occurs: np.ndarray,
) -> tuple[np.ndarray, Detections, dict[str, int]]:
    """Detections that can be evaluated, their videos, and the number ignored."""
    rows = {video_id: row for row, video_id in enumerate(ground_truth)}
    ignored = {'unknown_video': 0, 'unknown_class': 0}
    parts, videos = [], []
    for video_id, found in detections.items():
        if not (np.isfinite(found.segments).all() and np.isfinite(found.scores).all()):
            raise ValueError(
                f'detections of video {video_id} hold NaN or infinite numbers'
            )
        if video_id not in rows:
            ignored['unknown_video'] += len(found)
            continue
        known = (found.labels >= 0) & (found.labels < len(occurs))
        known[known] = occurs[found.labels[known]]
        ignored['unknown_class'] += int((~known).sum())
        parts.append(found[known])
        videos.append(np.full(int(known.sum()), rows[video_id], dtype=np.int64))
    video = np.concatenate(videos) if videos else np.zeros(0, dtype=np.int64)
    return video, Detections.concatenate(parts), ignored
