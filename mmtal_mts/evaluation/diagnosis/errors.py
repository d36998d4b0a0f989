"""Why detections are false, and what the mAP would be without one kind of error.

S detections by descending score, G segments, M thresholds, K classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...structures import pairwise_tiou
from ..functional.matching import UNMATCHED, Matching
from ..functional.mean_ap import average_precision

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

FIXES = (*ERROR_KINDS, 'missed', 'any_false_positive')
"""What :func:`mean_ap_if_fixed` puts right."""


class BestOverlaps(NamedTuple):
    """The segments that each detection overlaps most, in its video.

    Attributes:
        own: (S,) position of the best segment of its class, or ``UNMATCHED``.
        own_tiou: (S,) its tIoU, 0 without one.
        other: (S,) the same among the other classes.
        other_tiou: (S,).
    """

    own: np.ndarray
    own_tiou: np.ndarray
    other: np.ndarray
    other_tiou: np.ndarray


def best_overlaps(matching: Matching) -> BestOverlaps:
    """Finds the segments that each detection overlaps most."""
    found, truth = matching.found, matching.truth
    index = np.full((2, len(found)), UNMATCHED)
    best = np.zeros((2, len(found)))
    for video in np.unique(matching.truth_video):
        rows = np.flatnonzero(matching.video == video)
        columns = np.flatnonzero(matching.truth_video == video)
        tiou = pairwise_tiou(found.segments[rows], truth.segments[columns])
        same = found.labels[rows][:, None] == truth.labels[columns]
        for side, mask in enumerate((same, ~same)):
            masked = np.where(mask, tiou, 0.0)
            column = masked.argmax(axis=1)
            best[side, rows] = value = masked[np.arange(len(rows)), column]
            index[side, rows] = np.where(value > 0, columns[column], UNMATCHED)
    return BestOverlaps(index[0], best[0], index[1], best[1])


def classify_detections(
    matching: Matching, overlaps: BestOverlaps, row: int, background_tiou: float = 0.1
) -> np.ndarray:
    """Says of each detection whether it is true, and if not, why.

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
        matching: All segments and detections.
        overlaps: Of the same detections.
        row: Which of the thresholds of ``matching``.
        background_tiou: See above.

    Returns:
        (S,) positions in :data:`KINDS`.
    """
    threshold = matching.tiou_thresholds[row]
    return np.select(
        [
            matching.hits[row],
            overlaps.own_tiou >= threshold,
            overlaps.other_tiou >= threshold,
            overlaps.own_tiou >= background_tiou,
            overlaps.other_tiou >= background_tiou,
        ],
        range(len(KINDS) - 1),
        default=len(KINDS) - 1,
    )


def mean_ap_if_removed(matching: Matching, row: int, kinds: np.ndarray) -> np.ndarray:
    """The mAP at a threshold without the detections of each of :data:`ERROR_KINDS`."""
    hits, labels = matching.hits[row], matching.found.labels
    keep = [kinds != KINDS.index(kind) for kind in ERROR_KINDS]
    return np.array([_mean_ap(hits[k], labels[k], matching) for k in keep])


def mean_ap_if_fixed(
    matching: Matching, overlaps: BestOverlaps, row: int, kinds: np.ndarray
) -> np.ndarray:
    """The mAP with one kind of error put right and everything else as it is.

    A detection with a wrong label or wrong boundaries gets those of the segment that
    it overlaps most, so that it finds that segment, if nothing else does; otherwise
    it is removed, as are double detections and those of background. The scores stay.
    ``missed`` finds every segment that no detection finds, with the highest scores;
    ``any_false_positive`` removes all false positives, which is what a perfect order
    of the scores could reach.

    Args:
        matching: All segments and detections.
        overlaps: Of the same detections.
        row: Which of the thresholds.
        kinds: (S,) positions in :data:`KINDS` at that threshold.

    Returns:
        One mAP for each of :data:`FIXES`.
    """
    hits, own_labels, truth = matching.hits[row], matching.found.labels, matching.truth
    found = np.zeros(len(truth), dtype=bool)
    found[matching.matched[row][hits]] = True
    goals = {
        'wrong_label': overlaps.other,
        'localization': overlaps.own,
        'confusion': overlaps.other,
    }
    values = []
    for kind in ERROR_KINDS:
        wrong = np.flatnonzero(kinds == KINDS.index(kind))
        labels, new_hits = own_labels.copy(), hits.copy()
        if kind in goals:
            goal = goals[kind][wrong]
            wrong, goal = wrong[~found[goal]], goal[~found[goal]]
            # Detections are in order of their scores: the best gets the segment.
            goal, first = np.unique(goal, return_index=True)
            new_hits[wrong[first]] = True
            labels[wrong[first]] = truth.labels[goal]
        keep = (kinds != KINDS.index(kind)) | new_hits
        values.append(_mean_ap(new_hits[keep], labels[keep], matching))
    missed = truth.labels[~found]
    with_missed = np.concatenate([np.ones(len(missed), dtype=bool), hits])
    labels = np.concatenate([missed, own_labels])
    values.append(_mean_ap(with_missed, labels, matching))
    values.append(_mean_ap(hits[hits], own_labels[hits], matching))
    return np.array(values)


def _mean_ap(hits: np.ndarray, labels: np.ndarray, matching: Matching) -> float:
    return float(np.nanmean(average_precision(hits[None], labels, matching.positives)))
