"""Why a detection is false."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.video_matching import (
    Matching,
    group_equal,
)
from mmtal_mts.structures.segments import pairwise_tiou

KINDS = (
    'true_positive',
    'double_detection',
    'wrong_label',
    'localization',
    'confusion',
    'background',
)
"""What a detection can be; see :func:`classify_detections`."""

ERROR_KINDS = KINDS[1:]
"""What a false positive can be."""


class BestOverlaps(NamedTuple):
    """The segments that each detection overlaps most.

    Attributes:
        own (np.ndarray): (S,) position of the best segment of the detection's own
            class in its video, or `UNMATCHED`.
        own_tiou (np.ndarray): (S,) its tIoU, 0 without one.
        other (np.ndarray): (S,) the same among the other classes.
        other_tiou (np.ndarray): (S,).
    """

    own: np.ndarray
    own_tiou: np.ndarray
    other: np.ndarray
    other_tiou: np.ndarray


def best_overlaps(matching: Matching) -> BestOverlaps:
    """Find the segments that each detection overlaps most.

    Args:
        matching (Matching): All segments and detections.

    Returns:
        BestOverlaps: For each detection.
    """
    count = len(matching.labels)
    found = BestOverlaps(
        np.full(count, UNMATCHED),
        np.zeros(count),
        np.full(count, UNMATCHED),
        np.zeros(count),
    )
    targets = dict(group_equal(matching.truth_video))
    for video, rows in group_equal(matching.video):
        columns = targets.get(video)
        if columns is None:
            continue
        tiou = pairwise_tiou(matching.segments[rows], matching.truth_segments[columns])
        same = matching.labels[rows][:, None] == matching.truth_labels[columns]
        for mask, index, best in (
            (same, found.own, found.own_tiou),
            (~same, found.other, found.other_tiou),
        ):
            masked = np.where(mask, tiou, 0.0)
            column = masked.argmax(axis=1)
            value = masked[np.arange(len(rows)), column]
            best[rows] = value
            index[rows] = np.where(value > 0, columns[column], UNMATCHED)
    return found


def classify_detections(
    matching: Matching, overlaps: BestOverlaps, row: int, background_tiou: float = 0.1
) -> np.ndarray:
    """Say of each detection whether it is true, and if not, why.

    The kinds are those of Alwassel et al., "Diagnosing Error in Temporal Action
    Detectors" (ECCV 2018). With the threshold ``t`` and ``b = background_tiou`` a
    detection is the first of these that fits:

    - ``true_positive``: it finds a segment;
    - ``double_detection``: tIoU >= t with a segment of its class, which a better
      detection found;
    - ``wrong_label``: tIoU >= t with a segment of another class;
    - ``localization``: tIoU >= b with a segment of its class;
    - ``confusion``: tIoU >= b with a segment of another class;
    - ``background``: none of these.

    Args:
        matching (Matching): All segments and detections.
        overlaps (BestOverlaps): Of the same detections.
        row (int): Which of the thresholds of ``matching``.
        background_tiou (float): See above.

    Returns:
        np.ndarray: (S,) positions in :data:`KINDS`.
    """
    threshold = matching.tiou_thresholds[row]
    return np.select(
        [
            matching.matched[row] != UNMATCHED,
            overlaps.own_tiou >= threshold,
            overlaps.other_tiou >= threshold,
            overlaps.own_tiou >= background_tiou,
            overlaps.other_tiou >= background_tiou,
        ],
        range(len(KINDS) - 1),
        default=len(KINDS) - 1,
    )
