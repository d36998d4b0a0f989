"""What stands at which place of the ranking of detections."""

from __future__ import annotations

import numpy as np

from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.mean_ap import interpolated_precision
from mmtal_mts.evaluation.functional.video_matching import Matching

from .errors import KINDS, BestOverlaps

NUM_BANDS = 10
RECALL_POINTS = np.linspace(0, 1, 101)


def rank_bands(matching: Matching) -> np.ndarray:
    """Place of each detection among those of its class, in units of the positives.

    Args:
        matching (Matching): All segments and detections.

    Returns:
        np.ndarray: (S,): 0 for the best G detections of a class with G segments, 1
        for the next G, and so on.
    """
    bands = np.zeros(len(matching.labels), dtype=np.int64)
    for label, positives in enumerate(matching.positives):
        rows = np.flatnonzero(matching.labels == label)
        bands[rows] = np.arange(len(rows)) // max(positives, 1)
    return bands


def profile(kinds: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Count the kinds of detections in each of the first ten bands.

    Args:
        kinds (np.ndarray): (S,) positions in :data:`KINDS`.
        bands (np.ndarray): (S,) see :func:`rank_bands`.

    Returns:
        np.ndarray: (10, 6) detections by band and kind, of all classes together.
    """
    counts = np.zeros((NUM_BANDS, len(KINDS)), dtype=np.int64)
    inside = bands < NUM_BANDS
    np.add.at(counts, (bands[inside], kinds[inside]), 1)
    return counts


def mixed_up_classes(
    matching: Matching, overlaps: BestOverlaps, kinds: np.ndarray, bands: np.ndarray
) -> np.ndarray:
    """Count which class was taken for which, in the first ten bands.

    Args:
        matching (Matching): All segments and detections.
        overlaps (BestOverlaps): Of the same detections.
        kinds (np.ndarray): (S,) positions in :data:`KINDS`.
        bands (np.ndarray): (S,) see :func:`rank_bands`.

    Returns:
        np.ndarray: (K, K) detections with a wrong label, by true and detected class.
    """
    counts = np.zeros((matching.num_classes,) * 2, dtype=np.int64)
    rows = np.flatnonzero((kinds == KINDS.index('wrong_label')) & (bands < NUM_BANDS))
    true = matching.truth_labels[overlaps.other[rows]]
    np.add.at(counts, (true, matching.labels[rows]), 1)
    return counts


def precision_recall(matching: Matching, row: int) -> np.ndarray:
    """Interpolated precision of each class at 101 recalls, 0, 0.01, ..., 1.

    Args:
        matching (Matching): All segments and detections.
        row (int): Which of its thresholds.

    Returns:
        np.ndarray: (K, 101); NaN for a class without a segment, 0 beyond the recall
        that is reached.
    """
    curves = np.full((matching.num_classes, len(RECALL_POINTS)), np.nan)
    hits = matching.matched[row] != UNMATCHED
    for label in np.flatnonzero(matching.positives):
        own = hits[matching.labels == label]
        precision = interpolated_precision(own[None])[0][own]
        recall = np.arange(1, own.sum() + 1) / matching.positives[label]
        # The first true positive at or above each recall; none: precision 0.
        place = np.searchsorted(recall, RECALL_POINTS - 1e-9)
        curves[label] = np.append(precision, 0.0)[place]
    return curves


def boundary_errors(matching: Matching, row: int) -> np.ndarray:
    """How far the boundaries of the true positives are off.

    Args:
        matching (Matching): All segments and detections.
        row (int): Which of its thresholds.

    Returns:
        np.ndarray: (H, 2) seconds by which start and end are late, of H true
        positives.
    """
    hits = np.flatnonzero(matching.matched[row] != UNMATCHED)
    truth = matching.truth_segments[matching.matched[row, hits]]
    return matching.segments[hits] - truth
