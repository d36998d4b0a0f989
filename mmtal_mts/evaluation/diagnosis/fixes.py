"""What the mAP would be if one kind of error were fixed."""

from __future__ import annotations

import numpy as np

from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.mean_ap import average_precision
from mmtal_mts.evaluation.functional.video_matching import Matching

from .errors import ERROR_KINDS, KINDS, BestOverlaps

FIXES = (*ERROR_KINDS, 'missed', 'any_false_positive')
"""What can be fixed."""


def mean_ap_if_removed(matching: Matching, row: int, kinds: np.ndarray) -> np.ndarray:
    """The mAP without the detections of each error kind.

    Args:
        matching (Matching): All segments and detections.
        row (int): Which of its thresholds.
        kinds (np.ndarray): (S,) positions in :data:`KINDS` at that threshold.

    Returns:
        np.ndarray: One mAP for each of :data:`ERROR_KINDS`.
    """
    hits = matching.matched[row] != UNMATCHED
    return np.array(
        [
            _mean_ap(hits, matching.labels, kinds != KINDS.index(kind), matching)
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
        matching (Matching): All segments and detections.
        overlaps (BestOverlaps): Of the same detections.
        row (int): Which of the thresholds.
        kinds (np.ndarray): (S,) positions in :data:`KINDS` at that threshold.

    Returns:
        np.ndarray: One mAP for each of :data:`FIXES`.
    """
    matched = matching.matched[row]
    hits = matched != UNMATCHED
    found = np.zeros(len(matching.truth_labels), dtype=bool)
    found[matched[hits]] = True
    goals = {
        'wrong_label': overlaps.other,
        'localization': overlaps.own,
        'confusion': overlaps.other,
    }
    values = []
    for kind in ERROR_KINDS:
        wrong = np.flatnonzero(kinds == KINDS.index(kind))
        labels, new_hits = matching.labels.copy(), hits.copy()
        if kind in goals:
            goal = goals[kind][wrong]
            wrong, goal = wrong[~found[goal]], goal[~found[goal]]
            # Detections are in order of their scores: the best gets the segment.
            goal, first = np.unique(goal, return_index=True)
            new_hits[wrong[first]] = True
            labels[wrong[first]] = matching.truth_labels[goal]
        keep = (kinds != KINDS.index(kind)) | new_hits
        values.append(_mean_ap(new_hits, labels, keep, matching))
    missed = matching.truth_labels[~found]
    with_missed = np.concatenate([np.ones(len(missed), dtype=bool), hits])
    labels = np.concatenate([missed, matching.labels])
    everything = np.ones(len(labels), dtype=bool)
    values.append(_mean_ap(with_missed, labels, everything, matching))
    values.append(_mean_ap(hits, matching.labels, hits, matching))
    return np.array(values)


def _mean_ap(
    hits: np.ndarray, labels: np.ndarray, keep: np.ndarray, matching: Matching
) -> float:
    """The mAP of some of the detections."""
    ap = average_precision(hits[None, keep], labels[keep], matching.positives)
    return float(np.nanmean(ap))
