"""Mean average precision of a whole data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np

from mmtal_mts.evaluation.functional.detections import Detections
from mmtal_mts.evaluation.functional.mean_ap import GroundTruth, mean_average_precision

from .timing import Case

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def evaluate_row_by_row(
    ground_truth: Mapping[str, GroundTruth],
    detections: Mapping[str, Detections],
    num_classes: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> np.ndarray:
    """Baseline: tables of rows, filtered for each prediction, as with data frames.

    Args:
        ground_truth: By video id.
        detections: By video id.
        num_classes: K.
        thresholds: M tIoU thresholds.

    Returns:
        Average precision (M, K).
    """
    truth_rows = [
        (video, label, start, end)
        for video, truth in ground_truth.items()
        for label, (start, end) in zip(truth.labels, truth.segments)
    ]
    rows = [
        (video, label, score, start, end)
        for video, found in detections.items()
        for label, score, (start, end) in zip(
            found.labels, found.scores, found.segments
        )
    ]
    ap = np.full((len(thresholds), num_classes), np.nan)
    for label in range(num_classes):
        truth = [row for row in truth_rows if row[1] == label]
        found = sorted(
            (row for row in rows if row[1] == label), key=lambda row: -row[2]
        )
        if truth:
            ap[:, label] = _class_precision(truth, found, thresholds)
    return ap


def _class_precision(
    truth: Sequence[tuple], found: Sequence[tuple], thresholds: Sequence[float]
) -> list[float]:
    taken = np.zeros((len(thresholds), len(truth)), dtype=bool)
    hits = np.zeros((len(thresholds), len(found)))
    for number, (video, _, _, start, end) in enumerate(found):
        places = [i for i, row in enumerate(truth) if row[0] == video]
        if not places:
            continue
        targets = np.array([truth[i][2:] for i in places])
        overlap = np.minimum(end, targets[:, 1]) - np.maximum(start, targets[:, 0])
        overlap = overlap.clip(0)
        tiou = overlap / ((end - start) + targets[:, 1] - targets[:, 0] - overlap)
        order = np.argsort(tiou)[::-1]
        for row, threshold in enumerate(thresholds):
            for place in order:
                if tiou[place] < threshold:
                    break
                if not taken[row, places[place]]:
                    taken[row, places[place]] = True
                    hits[row, number] = 1
                    break
    return [_area(row, len(truth)) for row in hits]


def _area(hits: np.ndarray, positives: int) -> float:
    """Area under the precision-recall curve with precision made monotone."""
    true = np.cumsum(hits)
    precision = [0.0, *(true / np.arange(1, len(hits) + 1)), 0.0]
    recall = [0.0, *(true / positives), 1.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum(
        (recall[i] - recall[i - 1]) * precision[i]
        for i in range(1, len(recall))
        if recall[i] != recall[i - 1]
    )


def random_results(
    num_detections: int,
    num_videos: int = 210,
    num_segments: int = 3311,
    num_classes: int = 20,
    seed: int = 0,
) -> tuple[dict[str, GroundTruth], dict[str, Detections]]:
    """Ground truth the size of THUMOS14's test set and detections around it.

    Args:
        num_detections: Detections of all videos.
        num_videos: Videos.
        num_segments: Ground-truth segments of all videos.
        num_classes: Classes K.
        seed: Seed of the random numbers.

    Returns:
        Ground truth and detections by video id.
    """
    random = np.random.default_rng(seed)
    video = random.integers(0, num_videos, num_segments)
    # As there, a video has actions of one or two classes.
    label = (video + random.integers(0, 2, num_segments)) % num_classes
    start = random.uniform(0, 600, num_segments)
    segment = np.stack([start, start + random.uniform(1, 10, num_segments)], axis=1)

    source = random.integers(0, num_segments, num_detections)
    found = segment[source] + random.normal(0, 1.5, (num_detections, 2))
    found.sort(axis=1)
    score = random.uniform(0, 1, num_detections)
    ground_truth, detections = {}, {}
    for number in range(num_videos):
        mine, matching = video == number, video[source] == number
        ground_truth[f'video_{number}'] = SimpleNamespace(
            segments=segment[mine], labels=label[mine]
        )
        detections[f'video_{number}'] = Detections(
            found[matching], score[matching], label[source][matching]
        )
    return ground_truth, detections


def evaluation_cases(num_detections: int = 42_227, num_classes: int = 20) -> list[Case]:
    """The alternatives; an item is one evaluation at 7 thresholds.

    Args:
        num_detections: Detections of all videos.
        num_classes: Classes K.

    Returns:
        The evaluation row by row, and ours.
    """
    truth, found = random_results(num_detections, num_classes=num_classes)
    return [
        Case('row by row', lambda: evaluate_row_by_row(truth, found, num_classes)),
        Case(
            'ours',
            lambda: mean_average_precision(truth, found, num_classes, THRESHOLDS),
        ),
    ]
