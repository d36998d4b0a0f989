"""Mean average precision of temporal action detection, as ActivityNet defines it."""

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
class MeanAPResult:
    """Average precision by threshold and class, and what it was computed on.

    Attributes:
        tiou_thresholds (tuple[float, ...]): M thresholds.
        ap (np.ndarray): (M, K) in [0, 1]; NaN for a class without ground truth.
        counts (dict[str, int]): ``videos``, ``segments`` and ``detections`` that
            were evaluated; ``unknown_video`` and ``unknown_class``, detections that
            were ignored because no ground truth knows their video or class.
    """

    tiou_thresholds: tuple[float, ...]
    ap: np.ndarray
    counts: dict[str, int]

    @property
    def mean_ap(self) -> np.ndarray:
        """MAP (M,): mean over the classes that occur in the ground truth."""
        return np.nanmean(self.ap, axis=1)

    def average(self, tiou_thresholds: Sequence[float] | None = None) -> float:
        """Average of the mAP over some of the thresholds.

        Args:
            tiou_thresholds (Sequence[float], optional): Which. None: all.

        Returns:
            float: The average, in [0, 1].

        Raises:
            ValueError: If one of them was not evaluated.
        """
        rows = threshold_rows(self.tiou_thresholds, tiou_thresholds)
        return float(self.mean_ap[rows].mean())


def threshold_rows(
    evaluated: Sequence[float], wanted: Sequence[float] | None
) -> np.ndarray:
    """Positions of the wanted thresholds among the evaluated ones.

    Args:
        evaluated (Sequence[float]): M thresholds.
        wanted (Sequence[float], optional): Some of them, to 1e-6. None: all.

    Returns:
        np.ndarray: Positions, int64.

    Raises:
        ValueError: If nothing is wanted or something was not evaluated.
    """
    if wanted is None:
        return np.arange(len(evaluated))
    near = np.abs(np.subtract.outer(np.asarray(wanted, float), evaluated)) < 1e-6
    if not near.size or not near.any(axis=1).all():
        raise ValueError(
            f'average over tIoU thresholds {list(wanted)}: choose from the evaluated '
            f'ones, {list(evaluated)}'
        )
    return near.argmax(axis=1)


def mean_average_precision(
    ground_truth: Mapping[str, GroundTruth],
    detections: Mapping[str, Detections],
    num_classes: int,
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
) -> MeanAPResult:
    """Average precision per class and tIoU threshold.

    For each class the detections of all videos are taken by descending score. Each
    goes to the segment of its video and class that it overlaps most among those not
    taken yet; if their tIoU reaches the threshold it is a true positive, else a
    false one. AP is the area under the precision-recall curve with precision made
    monotone. The numbers are those of the official ActivityNet evaluation, except:

    - equal scores are taken in the given order (there: in no defined order);
    - a detection that ends before it starts is always a false positive (there: one
      that just touches a segment makes 0 / 0, which counts as a match).

    Args:
        ground_truth (Mapping[str, GroundTruth]): By video id: the videos to evaluate.
        detections (Mapping[str, Detections]): By video id. Those of other videos or
            of classes without ground truth do not enter the score; they are counted.
        num_classes (int): K.
        tiou_thresholds (Sequence[float]): M thresholds in (0, 1].

    Returns:
        MeanAPResult: AP of every threshold and class.

    Raises:
        ValueError: If a threshold is out of range, the ground truth holds no
            segment, a label is out of range, or a detection is not finite.
    """
    thresholds = np.asarray(tiou_thresholds, dtype=np.float64)
    if not thresholds.size or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(
            f'tIoU thresholds must be in (0, 1], got {list(tiou_thresholds)}'
        )
    positives = _positives_per_class(ground_truth, num_classes)
    video, segments, scores, labels, counts = _flatten(
        ground_truth, detections, positives
    )
    order = np.argsort(-scores, kind='stable')
    video, segments, labels = video[order], segments[order], labels[order]

    targets, owner = _flatten_truth(ground_truth)
    hits = match_detections(
        segments, labels * len(ground_truth) + video, targets, owner, thresholds
    )

    ap = np.full((len(thresholds), num_classes), np.nan)
    for label in np.flatnonzero(positives):
        ap[:, label] = _average_precision(hits[:, labels == label], positives[label])
    counts.update(
        videos=len(ground_truth), segments=int(positives.sum()), detections=len(labels)
    )
    return MeanAPResult(tuple(float(t) for t in thresholds), ap, counts)


def _positives_per_class(
    ground_truth: Mapping[str, GroundTruth], num_classes: int
) -> np.ndarray:
    """Number of ground-truth segments (K,) of each class."""
    positives = np.zeros(num_classes, dtype=np.int64)
    for video_id, truth in ground_truth.items():
        labels = np.asarray(truth.labels, dtype=np.int64)
        if labels.size and not (0 <= labels.min() and labels.max() < num_classes):
            raise ValueError(
                f'ground truth of video {video_id}: label outside 0..{num_classes - 1}'
            )
        positives += np.bincount(labels, minlength=num_classes)
    if not positives.any():
        raise ValueError(
            f'the ground truth ({len(ground_truth)} videos) holds no segment: '
            'nothing to evaluate; check the annotation file and the subset'
        )
    return positives


def _flatten(
    ground_truth: Mapping[str, GroundTruth],
    detections: Mapping[str, Detections],
    positives: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Detections that can be evaluated as flat arrays, and the number ignored."""
    rows = {video_id: row for row, video_id in enumerate(ground_truth)}
    counts = {'unknown_video': 0, 'unknown_class': 0}
    parts, videos = [], []
    for video_id, found in detections.items():
        if not (np.isfinite(found.segments).all() and np.isfinite(found.scores).all()):
            raise ValueError(
                f'detections of video {video_id} hold NaN or infinite numbers'
            )
        if video_id not in rows:
            counts['unknown_video'] += len(found)
            continue
        known = (found.labels >= 0) & (found.labels < len(positives))
        known[known] = positives[found.labels[known]] > 0
        counts['unknown_class'] += int((~known).sum())
        parts.append(found[known])
        videos.append(np.full(int(known.sum()), rows[video_id], dtype=np.int64))
    merged = Detections.concatenate(parts)
    video = np.concatenate(videos) if videos else np.zeros(0, dtype=np.int64)
    return video, merged.segments, merged.scores, merged.labels, counts


def _flatten_truth(
    ground_truth: Mapping[str, GroundTruth],
) -> tuple[np.ndarray, np.ndarray]:
    """All ground-truth segments (G, 2), and the number of their class and video."""
    segments, owners = [np.zeros((0, 2))], [np.zeros(0, dtype=np.int64)]
    for row, truth in enumerate(ground_truth.values()):
        segments.append(np.asarray(truth.segments, dtype=np.float64).reshape(-1, 2))
        labels = np.asarray(truth.labels, dtype=np.int64)
        owners.append(labels * len(ground_truth) + row)
    return np.concatenate(segments), np.concatenate(owners)


def _average_precision(hits: np.ndarray, positives: int) -> np.ndarray:
    """Area under the interpolated precision-recall curve.

    Args:
        hits (np.ndarray): True positives (M, S), by descending score.
        positives (int): Number of ground-truth segments of the class.

    Returns:
        np.ndarray: AP (M,); 0 without a detection.
    """
    true = np.cumsum(hits, axis=1, dtype=np.float64)
    precision = true / np.arange(1, hits.shape[1] + 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # Recall rises by 1 / positives at each true positive and nowhere else.
    return np.where(hits, precision, 0.0).sum(axis=1) / positives
