"""Mean average precision of a whole data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmtal_mts.structures import Segments
from mmtal_mts.evaluation.functional.mean_ap import mean_average_precision
from mmtal_mts.utils import UserError

from .timing import Case

if TYPE_CHECKING:
    import pandas

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def evaluate_data_frames(
    ground_truth: Mapping[str, Segments],
    detections: Mapping[str, Segments],
    num_classes: int,
    thresholds: Sequence[float] = THRESHOLDS,
) -> np.ndarray:
    """Baseline: data frames, a row at a time, as evaluation is usually written.

    Args:
        ground_truth: By video id.
        detections: By video id.
        num_classes: K.
        thresholds: M tIoU thresholds.

    Returns:
        Average precision (M, K).

    Raises:
        UserError: If pandas is not installed.
    """
    truth_rows = _data_frame(ground_truth)
    rows = _data_frame(detections)
    rows['score'] = np.concatenate([found.scores for found in detections.values()])
    ap = np.full((len(thresholds), num_classes), np.nan)
    for label in range(num_classes):
        truth = truth_rows[truth_rows.label == label].reset_index(drop=True)
        found = rows[rows.label == label].sort_values(
            'score', ascending=False, kind='stable'
        )
        if len(truth):
            ap[:, label] = _class_precision(truth, found, thresholds)
    return ap


def _data_frame(videos: Mapping[str, Segments]) -> pandas.DataFrame:
    """A row for each segment."""
    try:
        import pandas
    except ImportError as error:
        raise UserError(
            'the baseline of the benchmark evaluation needs pandas. '
            'Remedy: pip install pandas'
        ) from error
    frames = [
        pandas.DataFrame(
            dict(
                video=video,
                label=found.labels,
                start=found.segments[:, 0],
                end=found.segments[:, 1],
            )
        )
        for video, found in videos.items()
    ]
    return pandas.concat(frames, ignore_index=True)


def _class_precision(
    truth: pandas.DataFrame, found: pandas.DataFrame, thresholds: Sequence[float]
) -> list[float]:
    taken = np.zeros((len(thresholds), len(truth)), dtype=bool)
    hits = np.zeros((len(thresholds), len(found)))
    by_video = truth.groupby('video')
    for number, (_, row) in enumerate(found.iterrows()):
        try:
            targets = by_video.get_group(row.video)
        except KeyError:
            continue
        starts, ends = targets['start'].to_numpy(), targets['end'].to_numpy()
        overlap = np.minimum(row.end, ends) - np.maximum(row.start, starts)
        overlap = overlap.clip(0)
        tiou = overlap / ((row.end - row.start) + (ends - starts) - overlap)
        order = np.argsort(tiou)[::-1]
        for level, threshold in enumerate(thresholds):
            for place in order:
                if tiou[place] < threshold:
                    break
                if not taken[level, targets.index[place]]:
                    taken[level, targets.index[place]] = True
                    hits[level, number] = 1
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
) -> tuple[dict[str, Segments], dict[str, Segments]]:
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
        ground_truth[f'video_{number}'] = Segments(segment[mine], label[mine])
        detections[f'video_{number}'] = Segments(
            found[matching], label[source][matching], score[matching]
        )
    return ground_truth, detections


def evaluation_cases(num_detections: int = 42_227, num_classes: int = 20) -> list[Case]:
    """The alternatives; an item is one evaluation at 7 thresholds.

    Args:
        num_detections: Detections of all videos.
        num_classes: Classes K.

    Returns:
        The evaluation with data frames, and ours.
    """
    truth, found = random_results(num_detections, num_classes=num_classes)
    return [
        Case('data frames', lambda: evaluate_data_frames(truth, found, num_classes)),
        Case(
            'ours',
            lambda: mean_average_precision(truth, found, num_classes, THRESHOLDS),
        ),
    ]
