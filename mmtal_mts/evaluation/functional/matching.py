"""Which detection finds which ground-truth segment.

G segments, S detections, P pairs of both that overlap, M tIoU thresholds, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...structures import Segments, aligned_tiou

UNMATCHED = -1
"""In place of a segment: the detection is a false positive."""

# Pairs of a detection and a segment that are compared at once.
_CHUNK = 1 << 15


@dataclass(frozen=True)
class Matching:
    """The segments and the detections of all videos, and which belong together.

    Attributes:
        tiou_thresholds: (M,).
        num_classes: K.
        video_ids: Videos of the ground truth.
        truth: All segments (G), in seconds, by video.
        truth_video: (G,) positions in ``video_ids``, ascending.
        found: All detections (S) of labels that occur in the ground truth, ordered by
            descending score, all videos and classes together.
        video: (S,) positions in ``video_ids``.
        matched: (M, S) position of the segment that a detection finds at a threshold,
            or ``UNMATCHED``.
        counts: ``videos``, ``segments`` and ``detections`` that are compared;
            ``unknown_video`` and ``unknown_class``, detections that are left out
            because no ground truth knows their video or class.
    """

    tiou_thresholds: np.ndarray
    num_classes: int
    video_ids: tuple[str, ...]
    truth: Segments
    truth_video: np.ndarray
    found: Segments
    video: np.ndarray
    matched: np.ndarray
    counts: dict[str, int]

    @property
    def positives(self) -> np.ndarray:
        """Number of ground-truth segments (K,) of each class."""
        return np.bincount(self.truth.labels, minlength=self.num_classes)

    @property
    def hits(self) -> np.ndarray:
        """Whether each detection is a true positive (M, S)."""
        return self.matched != UNMATCHED


def match_videos(
    ground_truth: Mapping[str, Segments],
    detections: Mapping[str, Segments],
    num_classes: int,
    tiou_thresholds: Sequence[float],
) -> Matching:
    """Matches detections to ground truth as the ActivityNet evaluation does.

    For each class the detections of all videos are taken by descending score, equal
    scores in the given order. Each goes to the segment of its video and class that it
    overlaps most among those not taken yet, if their tIoU reaches the threshold.

    Args:
        ground_truth: By video id: the videos to evaluate.
        detections: By video id.
        num_classes: K.
        tiou_thresholds: M thresholds in (0, 1].

    Returns:
        All segments, all detections, and the pairs.

    Raises:
        ValueError: A threshold is out of range, the ground truth holds no segment, a
            label is out of range, or a detection is not finite.
    """
    thresholds = np.asarray(tiou_thresholds, dtype=np.float64)
    if not thresholds.size or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(
            f'tIoU thresholds must be in (0, 1], got {list(tiou_thresholds)}'
        )
    truth, truth_video = _flatten(ground_truth, list(ground_truth))
    if not len(truth):
        raise ValueError(
            f'the ground truth ({len(ground_truth)} videos) holds no segment: '
            'nothing to evaluate; check the annotation file and the subset'
        )
    strange = (truth.labels < 0) | (truth.labels >= num_classes)
    if strange.any():
        video_id = list(ground_truth)[truth_video[strange.argmax()]]
        raise ValueError(
            f'ground truth of video {video_id}: label outside 0..{num_classes - 1}'
        )
    for video_id, one in detections.items():
        if not (np.isfinite(one.segments).all() and np.isfinite(one.scores).all()):
            raise ValueError(
                f'detections of video {video_id} hold NaN or infinite numbers'
            )
    known = {name: one for name, one in detections.items() if name in ground_truth}
    found, video = _flatten(known, list(ground_truth))
    occurs = np.isin(found.labels, truth.labels)
    order = np.flatnonzero(occurs)
    order = order[np.argsort(-found.scores[order], kind='stable')]
    found, video = found[order], video[order]
    matched = match_detections(
        found.segments,
        video * num_classes + found.labels,
        truth.segments,
        truth_video * num_classes + truth.labels,
        thresholds,
    )
    counts = dict(
        unknown_video=sum(map(len, detections.values())) - len(occurs),
        unknown_class=int((~occurs).sum()),
        videos=len(ground_truth),
        segments=len(truth),
        detections=len(found),
    )
    ids = tuple(ground_truth)
    return Matching(
        thresholds, num_classes, ids, truth, truth_video, found, video, matched, counts
    )


def _flatten(
    videos: Mapping[str, Segments], video_ids: Sequence[str]
) -> tuple[Segments, np.ndarray]:
    """All segments in the order of the mapping, and the video (S,) of each."""
    rows = {video_id: row for row, video_id in enumerate(video_ids)}
    counts = np.array([len(one) for one in videos.values()], dtype=np.int64)
    own = np.array([rows[name] for name in videos], dtype=np.int64)
    return Segments.concatenate(videos.values()), np.repeat(own, counts)


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
    that reaches the threshold, which needs no loop. Of the others, one detection of
    every group is matched at a time, at all thresholds.

    Takes detections (S, 2) by descending score and their groups (S,), segments (G, 2)
    and their groups (G,), and thresholds (M,); gives ``Matching.matched``.
    """
    matched = np.full((len(thresholds), len(segments)), UNMATCHED, dtype=np.int64)
    row, target, tiou = _overlapping_pairs(
        segments, groups, targets, target_groups, thresholds.min()
    )
    shares = np.zeros(len(targets), dtype=bool)
    shares[target[np.bincount(row)[row] > 1]] = True
    alone = ~shares[target]
    first = np.zeros(len(targets), dtype=np.int64)
    for own, threshold in zip(matched, thresholds, strict=True):
        reached = alone & (tiou >= threshold)
        # Of several values for one place the last one stays: the first detection.
        first[target[reached][::-1]] = row[reached][::-1]
        own[first[target[reached]]] = target[reached]
    row, target, tiou = row[~alone], target[~alone], tiou[~alone]
    if not len(row):
        return matched
    first = np.flatnonzero(np.diff(row, prepend=-1))  # pair of each detection (D,)
    count = np.diff(first, append=len(row))
    # How many detections of its group come before each.
    _, group = np.unique(groups[row[first]], return_inverse=True)
    by_group = np.argsort(group, kind='stable')
    size = np.bincount(group)
    turn = np.empty_like(group)
    turn[by_group] = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    by_turn = np.argsort(turn, kind='stable')
    free = np.ones((len(thresholds), len(targets)), dtype=bool)
    for own in np.split(by_turn, np.cumsum(np.bincount(turn))[:-1]):
        # One detection of each group (A,) and the pairs of each (A, B).
        place = first[own, None] + np.arange(count[own].max())
        exists = place < (first + count)[own, None]
        place = np.where(exists, place, first[own, None])
        available = np.where(exists & free[:, target[place]], tiou[place], -1.0)
        best = available.argmax(axis=2)  # (M, A)
        reached = available.max(axis=2) >= thresholds[:, None]
        level, column = np.nonzero(reached)
        found = target[place[column, best[reached]]]
        matched[level, row[first[own[column]]]] = found
        free[level, found] = False
    return matched


def _overlapping_pairs(
    segments: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
    target_groups: np.ndarray,
    min_tiou: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detections, segments and tIoU (P,) of pairs in a group that overlap enough.

    They are sorted by detection; of a detection, the last segment comes first.
    """
    order = np.argsort(target_groups, kind='stable')
    size = np.bincount(target_groups, minlength=groups.max(initial=0) + 1)
    end_of_group = np.cumsum(size)[groups] - 1
    count = size[groups]
    end = np.cumsum(count)
    parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    first = 0
    while first < len(segments):
        # At least one detection, however many segments it is compared with.
        done = end[first] - count[first]
        last = max(np.searchsorted(end, done + _CHUNK, side='right'), first + 1)
        row = np.repeat(np.arange(first, last), count[first:last])
        place = np.arange(done, done + len(row)) - (end - count)[row]
        target = order[end_of_group[row] - place]
        tiou = aligned_tiou(segments[row], targets[target])
        enough = tiou >= min_tiou
        parts.append((row[enough], target[enough], tiou[enough]))
        first = last
    row, target, tiou = (np.concatenate(column) for column in zip(*parts, strict=True))
    return row, target, tiou
