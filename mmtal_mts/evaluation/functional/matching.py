"""Greedy matching of detections to ground truth, for all videos and classes at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmtal_mts.structures.tiou import aligned_tiou

# So many pairs of a detection and a segment are compared at once.
_CHUNK = 1 << 15


class _Pairs(NamedTuple):
    """Pairs of a detection and a segment that overlap enough, by detection.

    Attributes:
        row (np.ndarray): (P,) detection.
        target (np.ndarray): (P,) segment.
        tiou (np.ndarray): (P,).
    """

    row: np.ndarray
    target: np.ndarray
    tiou: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> _Pairs:
        return _Pairs(self.row[chosen], self.target[chosen], self.tiou[chosen])


def match_detections(
    segments: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    target_groups: np.ndarray,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Finds the true positives at every tIoU threshold.

    Within a group (a class in a video), each detection in turn takes the segment it
    overlaps most among those not taken yet, if the tIoU reaches the threshold. Of
    equally good segments it takes the last, as the official evaluation does.

    A segment that shares no detection with another one goes to the first detection
    that reaches the threshold, which needs no loop. Only the few others are matched
    one by one.

    Args:
        segments (np.ndarray): Detections (S, 2), by descending score.
        groups (np.ndarray): (S,) group of each detection.
        targets (np.ndarray): Ground truth (G, 2).
        target_groups (np.ndarray): (G,) group of each segment.
        thresholds (np.ndarray): (M,).

    Returns:
        np.ndarray: True positives (M, S), bool.
    """
    order = np.argsort(target_groups, kind='stable')
    targets, target_groups = targets[order], target_groups[order]
    pairs = _overlapping_pairs(
        segments, groups, targets, target_groups, thresholds.min()
    )
    shared = np.bincount(pairs.row, minlength=len(segments))[pairs.row] > 1
    entangled = np.zeros(len(targets), dtype=bool)
    entangled[pairs.target[shared]] = True
    alone = ~entangled[pairs.target]

    hits = np.zeros((len(thresholds), len(segments)), dtype=bool)
    single = pairs[alone]
    for hit, threshold in zip(hits, thresholds):
        reached = single[single.tiou >= threshold]
        _, first = np.unique(reached.target, return_index=True)
        hit[reached.row[first]] = True

    rest = pairs[~alone]
    by_group = np.argsort(groups[rest.row], kind='stable')
    rest = rest[by_group]
    ends = np.flatnonzero(np.diff(groups[rest.row])) + 1
    for part in np.split(np.arange(len(rest.row)), ends) if len(rest.row) else []:
        _match_in_turn(rest[part], thresholds, hits)
    return hits


def _overlapping_pairs(
    segments: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    target_groups: np.ndarray,
    min_tiou: float,
) -> _Pairs:
    """Pairs within a group of at least ``min_tiou``; targets are sorted by group."""
    start = np.searchsorted(target_groups, groups, side='left')
    count = np.searchsorted(target_groups, groups, side='right') - start
    end = np.cumsum(count)
    found = [_Pairs(*(np.zeros(0, dtype=kind) for kind in (np.int64, np.int64, float)))]
    first = 0
    while first < len(segments):
        # At least one detection, however many segments it is compared with.
        done = end[first] - count[first]
        last = max(np.searchsorted(end, done + _CHUNK, side='right'), first + 1)
        row = np.repeat(np.arange(first, last), count[first:last])
        place = np.arange(done, done + len(row)) - (end - count)[row]
        target = start[row] + place
        tiou = aligned_tiou(segments[row], targets[target])
        found.append(_Pairs(row, target, tiou)[tiou >= min_tiou])
        first = last
    return _Pairs(*(np.concatenate(parts) for parts in zip(*found)))


def _match_in_turn(pairs: _Pairs, thresholds: np.ndarray, hits: np.ndarray) -> None:
    """Matches the detections of one group one by one, at all thresholds.

    Args:
        pairs (_Pairs): Pairs of the group, by detection.
        thresholds (np.ndarray): (M,).
        hits (np.ndarray): True positives (M, S) of all groups, set in place.
    """
    rows, row = np.unique(pairs.row, return_inverse=True)
    names, target = np.unique(pairs.target, return_inverse=True)
    # The last segment comes first: argmax takes the first of equally good ones.
    tiou = np.full((len(rows), len(names)), -1.0)
    tiou[row, len(names) - 1 - target] = pairs.tiou
    free = np.ones((len(thresholds), len(names)), dtype=bool)
    every = np.arange(len(thresholds))
    for name, overlap in zip(rows, tiou):
        available = np.where(free, overlap, -1.0)
        best = available.argmax(axis=1)
        hit = available[every, best] >= thresholds
        hits[hit, name] = True
        free[every[hit], best[hit]] = False
