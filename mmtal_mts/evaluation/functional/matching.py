"""Greedy matching of detections to ground truth, for all videos and classes at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmtal_mts.structures.segments import aligned_tiou

UNMATCHED = -1
"""In place of a segment: the detection is a false positive."""

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
    """Finds the segment of every true positive at every tIoU threshold.

    Within a group (a class in a video), each detection in turn takes the segment it
    overlaps most among those not taken yet, if the tIoU reaches the threshold. Of
    equally good segments it takes the last, as the official evaluation does.

    A segment that shares no detection with another one goes to the first detection
    that reaches the threshold, which needs no loop. The others fall into clusters that
    have no detection in common; one detection of every cluster is matched at a time.

    Args:
        segments (np.ndarray): Detections (S, 2), by descending score.
        groups (np.ndarray): (S,) group of each detection.
        targets (np.ndarray): Ground truth (G, 2).
        target_groups (np.ndarray): (G,) group of each segment.
        thresholds (np.ndarray): (M,).

    Returns:
        np.ndarray: (M, S) position of the segment that a detection takes, or
        `UNMATCHED`.
    """
    # Neighbours in time are neighbours in the list, which keeps clusters small.
    order = np.lexsort((targets[:, 0], target_groups))
    pairs = _overlapping_pairs(
        segments, groups, targets[order], target_groups[order], thresholds.min()
    )
    cluster, alone = _clusters(pairs, len(targets))
    taken = np.full((len(thresholds), len(segments)), UNMATCHED, dtype=np.int64)
    _match_alone(pairs[alone], thresholds, taken)
    _match_clusters(pairs[~alone], cluster, order, thresholds, taken)
    # Positions before the segments were sorted; UNMATCHED is the last of the list.
    return np.append(order, UNMATCHED)[taken]


def _overlapping_pairs(
    segments: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    target_groups: np.ndarray,
    min_tiou: float,
) -> _Pairs:
    """Pairs within a group of at least ``min_tiou``; targets are sorted by group."""
    size = np.bincount(target_groups, minlength=groups.max(initial=0) + 1)
    start = (np.cumsum(size) - size)[groups]
    count = size[groups]
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


def _clusters(pairs: _Pairs, num_targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Which segments hang together through a detection that overlaps several.

    Args:
        pairs (_Pairs): All pairs, by detection.
        num_targets (int): G.

    Returns:
        tuple[np.ndarray, np.ndarray]: Cluster of each segment (G,), and whether the
        segment of each pair (P,) is a cluster of its own.
    """
    # From each pair to the next of the same detection, every segment is tied to the
    # one behind it. That may tie more than needed, which does no harm.
    same = pairs.row[1:] == pairs.row[:-1]
    ties = np.bincount(pairs.target[:-1][same], minlength=num_targets)
    ties -= np.bincount(pairs.target[1:][same], minlength=num_targets)
    tied_to_next = np.cumsum(ties) > 0
    cluster = np.cumsum(~tied_to_next) + tied_to_next
    size = np.bincount(cluster, minlength=num_targets + 1)
    return cluster, size[cluster[pairs.target]] == 1


def _match_alone(pairs: _Pairs, thresholds: np.ndarray, taken: np.ndarray) -> None:
    """Gives each segment to its first detection; ``taken`` (M, S) is set in place."""
    for own, threshold in zip(taken, thresholds):
        reached = pairs[pairs.tiou >= threshold]
        # Of several values for one place the last one stays: the first detection.
        first = np.zeros(reached.target.max(initial=-1) + 1, dtype=np.int64)
        first[reached.target[::-1]] = reached.row[::-1]
        own[first[reached.target]] = reached.target


def _match_clusters(
    pairs: _Pairs,
    cluster: np.ndarray,
    order: np.ndarray,
    thresholds: np.ndarray,
    taken: np.ndarray,
) -> None:
    """Matches the detections of each cluster in turn, at all thresholds.

    Args:
        pairs (_Pairs): Their pairs, by detection.
        cluster (np.ndarray): (G,) cluster of each segment.
        order (np.ndarray): (G,) given position of each segment.
        thresholds (np.ndarray): (M,).
        taken (np.ndarray): (M, S) segment of each detection, set in place.
    """
    if not len(pairs.row):
        return
    # The last segment comes first: argmax takes the first of equally good ones.
    pairs = pairs[np.lexsort((-order[pairs.target], pairs.row))]
    first = np.flatnonzero(np.diff(pairs.row, prepend=-1))
    count = np.diff(first, append=len(pairs.row))
    turn = _turns(cluster[pairs.target[first]])
    by_turn = np.argsort(turn, kind='stable')
    free = np.ones((len(thresholds), len(cluster)), dtype=bool)
    for own in np.split(by_turn, np.cumsum(np.bincount(turn))[:-1]):
        # One detection of each cluster (A,) and what it overlaps (A, B).
        place = first[own, None] + np.arange(count[own].max())
        exists = place < (first + count)[own, None]
        place = np.where(exists, place, first[own, None])
        target = pairs.target[place]
        available = np.where(exists & free[:, target], pairs.tiou[place], -1.0)
        best = available.argmax(axis=2)  # (M, A)
        reached = available.max(axis=2) >= thresholds[:, None]
        row, column = np.nonzero(reached)
        found = target[column, best[reached]]
        taken[row, pairs.row[first[own[column]]]] = found
        free[row, found] = False


def _turns(keys: np.ndarray) -> np.ndarray:
    """How many equal keys come before each: (S,) -> (S,)."""
    by_key = np.argsort(keys, kind='stable')
    begins = np.flatnonzero(np.diff(keys[by_key], prepend=-1))
    turn = np.empty(len(keys), dtype=np.int64)
    turn[by_key] = np.arange(len(keys)) - np.repeat(
        begins, np.diff(begins, append=len(keys))
    )
    return turn
