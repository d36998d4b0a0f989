"""Why detections are false, and what the mAP would be without one kind of error.

S detections by descending score, G segments, M thresholds, K classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...structures import pairwise_tiou
from ..functional.matching import UNMATCHED, Matching
from ..functional.mean_ap import average_precision, interpolated_precision

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

NUM_BANDS = 10
RECALL_POINTS = np.linspace(0, 1, 101)


class BestOverlaps(NamedTuple):
    """The segments that each detection overlaps most.

    Attributes:
        own: (S,) position of the best segment of the detection's own class in its
            video, or ``UNMATCHED``.
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
    by_video = np.argsort(matching.video, kind='stable')
    bounds = np.arange(len(matching.video_ids) + 1)
    rows_of = np.searchsorted(matching.video[by_video], bounds)
    targets_of = np.searchsorted(matching.truth_video, bounds)
    for video in np.unique(matching.video):
        rows = by_video[rows_of[video] : rows_of[video + 1]]
        columns = np.arange(targets_of[video], targets_of[video + 1])
        if not len(columns):
            continue
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
    return np.array(
        [
            _mean_ap(hits, labels, kinds != KINDS.index(kind), matching)
            for kind in ERROR_KINDS
        ]
    )


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
    hits, own_labels = matching.hits[row], matching.found.labels
    found = np.zeros(len(matching.truth), dtype=bool)
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
            labels[wrong[first]] = matching.truth.labels[goal]
        keep = (kinds != KINDS.index(kind)) | new_hits
        values.append(_mean_ap(new_hits, labels, keep, matching))
    missed = matching.truth.labels[~found]
    with_missed = np.concatenate([np.ones(len(missed), dtype=bool), hits])
    labels = np.concatenate([missed, own_labels])
    everything = np.ones(len(labels), dtype=bool)
    values.append(_mean_ap(with_missed, labels, everything, matching))
    values.append(_mean_ap(hits, own_labels, hits, matching))
    return np.array(values)


def rank_bands(matching: Matching) -> np.ndarray:
    """Place of each detection among those of its class, in units of the positives.

    Returns:
        (S,): 0 for the best G detections of a class with G segments, 1 for the next
        G, and so on.
    """
    bands = np.zeros(len(matching.found), dtype=np.int64)
    for label, positives in enumerate(matching.positives):
        rows = np.flatnonzero(matching.found.labels == label)
        bands[rows] = np.arange(len(rows)) // max(positives, 1)
    return bands


def profile(kinds: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Number of detections (10, 6) by band and kind, of all classes together."""
    counts = np.zeros((NUM_BANDS, len(KINDS)), dtype=np.int64)
    inside = bands < NUM_BANDS
    np.add.at(counts, (bands[inside], kinds[inside]), 1)
    return counts


def mixed_up_classes(
    matching: Matching, overlaps: BestOverlaps, kinds: np.ndarray, bands: np.ndarray
) -> np.ndarray:
    """Detections (K, K) with a wrong label by true and detected class, best bands."""
    counts = np.zeros((matching.num_classes,) * 2, dtype=np.int64)
    rows = np.flatnonzero((kinds == KINDS.index('wrong_label')) & (bands < NUM_BANDS))
    true = matching.truth.labels[overlaps.other[rows]]
    np.add.at(counts, (true, matching.found.labels[rows]), 1)
    return counts


def precision_recall(matching: Matching, row: int) -> np.ndarray:
    """Interpolated precision of each class at 101 recalls, 0, 0.01, ..., 1.

    Args:
        matching: All segments and detections.
        row: Which of its thresholds.

    Returns:
        (K, 101); NaN for a class without a segment, 0 beyond the recall that is
        reached.
    """
    curves = np.full((matching.num_classes, len(RECALL_POINTS)), np.nan)
    for label in np.flatnonzero(matching.positives):
        own = matching.hits[row][matching.found.labels == label]
        precision = interpolated_precision(own[None])[0][own]
        recall = np.arange(1, own.sum() + 1) / matching.positives[label]
        # The first true positive at or above each recall; none: precision 0.
        place = np.searchsorted(recall, RECALL_POINTS - 1e-9)
        curves[label] = np.append(precision, 0.0)[place]
    return curves


def boundary_errors(matching: Matching, row: int) -> np.ndarray:
    """Seconds (H, 2) by which start and end of the H true positives are late."""
    hits = np.flatnonzero(matching.hits[row])
    truth = matching.truth.segments[matching.matched[row, hits]]
    return matching.found.segments[hits] - truth


def _mean_ap(
    hits: np.ndarray, labels: np.ndarray, keep: np.ndarray, matching: Matching
) -> float:
    """The mAP of some of the detections."""
    ap = average_precision(hits[None, keep], labels[keep], matching.positives)
    return float(np.nanmean(ap))
