"""What is wrong with detections: which errors, where, and what they cost.

After Alwassel et al., "Diagnosing Error in Temporal Action Detectors" (ECCV 2018), who
follow Hoiem et al., "Diagnosing Error in Object Detectors" (ECCV 2012).

S detections by descending score, G segments, M thresholds, K classes, B buckets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np

from ..structures import Segments, VideoAnnotation, pairwise_tiou
from .functional.matching import UNMATCHED, Matching, match_videos
from .functional.mean_ap import average_precision

KINDS = (
    'true_positive',
    'double_detection',
    'wrong_label',
    'localization',
    'confusion',
    'background',
)
"""What a detection can be. With the threshold ``t`` and ``b = background_tiou`` it is
the first of these that fits:

- ``true_positive``: it finds a segment;
- ``double_detection``: tIoU >= t with a segment of its class, which a better detection
  found;
- ``wrong_label``: tIoU >= t with a segment of another class;
- ``localization``: tIoU >= b with a segment of its class;
- ``confusion``: tIoU >= b with a segment of another class;
- ``background``: none of these.
"""

FIXES = (*KINDS[1:], 'missed', 'any_false_positive')
"""What can be put right, one kind at a time with everything else as it is.

A detection with a wrong label or wrong boundaries gets those of the segment that it
overlaps most, so that it finds that segment, if nothing else does; otherwise it is
removed, as are double detections and those of background. The scores stay. ``missed``
finds every segment that no detection finds, with the highest scores;
``any_false_positive`` removes all false positives, which is what a perfect order of the
scores could reach.
"""

Edges = Mapping[str, Sequence[float]]
"""Edges of the buckets of 'length' (seconds), 'coverage' (fractions of the video) and
'instances' (segments of the same class in the video), ascending. What is left out is
divided into five buckets of about equal size."""

PAPER_EDGES: Mapping[str, Edges] = {
    'thumos14': dict(
        length=(3, 6, 12, 18), coverage=(0.02, 0.04, 0.06, 0.08), instances=(1, 40, 80)
    ),
    'activitynet': dict(
        length=(30, 60, 120, 180), coverage=(0.2, 0.4, 0.6, 0.8), instances=(1, 4, 8)
    ),
}
"""Buckets of the paper by data set."""

_NUM_BANDS = 10
_NUM_BUCKETS = 5
_SIZES = ('XS', 'S', 'M', 'L', 'XL')


@dataclass(frozen=True)
class BucketTable:
    """Numbers of the segments in the B buckets of one characteristic.

    Attributes:
        characteristic: 'length', 'coverage' or 'instances'.
        buckets: B names, e.g. 'S: 3 - 6 s'.
        total: (B,) segments in each.
        missed: (M, B) of which no detection finds them, by threshold.
        mean_ap: (M, B) normalised mAP by threshold; NaN for a bucket without a segment.
        overall: (M,) normalised mAP on all segments.
        average: (B,) mean of ``mean_ap`` over the thresholds.
        relative_change: (B,) change of the average, as a part of that on all segments:
            -0.2 is a fifth lower. NaN if nothing at all is found.
        sensitivity: Average on the best bucket minus that on the worst.
        impact: Average on the best bucket minus that on all segments: what a detector
            would gain if it were as good on all other buckets.
    """

    characteristic: str
    buckets: tuple[str, ...]
    total: np.ndarray
    missed: np.ndarray
    mean_ap: np.ndarray
    overall: np.ndarray
    average: np.ndarray
    relative_change: np.ndarray
    sensitivity: float
    impact: float


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with the detections of some videos, at M tIoU thresholds.

    Attributes:
        classes: K names.
        tiou_thresholds: M.
        main_tiou: The threshold that pictures are drawn for.
        ap: (M, K), NaN for a class without a segment.
        mean_ap: (M,) over the classes that have a segment.
        segments: (K,) segments of each class.
        counts: As in :class:`.MeanAPResult`.
        kinds: (M,) number of detections of each of :data:`KINDS`.
        profile: (M, 10, 6) the same of the best G detections of each class with G
            segments, of the next G, and so on.
        fixed: (M,) mAP with each of :data:`FIXES`.
        recall: (M,) share of all segments that are found.
        mixed_up: True class, detected class and number of the detections with a wrong
            label at ``main_tiou`` in the bands of ``profile``, most frequent first.
        buckets: By length, coverage, and instances.
    """

    classes: tuple[str, ...]
    tiou_thresholds: tuple[float, ...]
    main_tiou: float
    ap: np.ndarray
    mean_ap: np.ndarray
    segments: np.ndarray
    counts: dict[str, int]
    kinds: dict[str, np.ndarray]
    profile: np.ndarray
    fixed: dict[str, np.ndarray]
    recall: np.ndarray
    mixed_up: list[tuple[str, str, int]]
    buckets: list[BucketTable]

    @property
    def main(self) -> int:
        """Position of ``main_tiou``."""
        return self.tiou_thresholds.index(self.main_tiou)

    def to_json(self) -> dict[str, Any]:
        """All attributes with lists for arrays, and None for NaN."""
        return _plain(asdict(self))


def diagnose(
    classes: Sequence[str],
    ground_truth: Mapping[str, VideoAnnotation],
    detections: Mapping[str, Segments],
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
    main_tiou: float | None = None,
    background_tiou: float = 0.1,
    edges: Edges = MappingProxyType({}),
) -> Diagnosis:
    """Finds out what is wrong with detections.

    Args:
        classes: Names of the labels 0..K-1.
        ground_truth: By video id.
        detections: By video id.
        tiou_thresholds: M thresholds.
        main_tiou: One of them, for what is not shown for all. None:
            0.5, or the one in the middle if 0.5 is not among them.
        background_tiou: Below it a detection has nothing to do with a segment.
        edges: Of the buckets that segments are sorted into, see :data:`Edges`.

    Returns:
        The findings.

    Raises:
        ValueError: ``main_tiou`` is not among the thresholds, ``background_tiou`` is
            not in (0, 1), edges are not ascending, or see :func:`.match_videos`.
    """
    if not 0 < background_tiou < 1:
        raise ValueError(f'background_tiou must be in (0, 1), got {background_tiou}')
    actions = {name: video.actions for name, video in ground_truth.items()}
    matching = match_videos(actions, detections, len(classes), tiou_thresholds)
    thresholds = matching.tiou_thresholds
    main = int(np.abs(thresholds - (main_tiou or 0.5)).argmin())
    if abs(thresholds[main] - (main_tiou or 0.5)) > 1e-6:
        if main_tiou is not None:
            raise ValueError(
                f'tIoU {main_tiou:g} is not among the evaluated thresholds '
                f'{thresholds.tolist()}'
            )
        main = len(thresholds) // 2
    truth, found = matching.truth, matching.found
    own, own_tiou, other, other_tiou = _best_overlaps(matching)
    kinds = []
    for hits, threshold in zip(matching.hits, thresholds, strict=True):
        fits = [hits, own_tiou >= threshold, other_tiou >= threshold]
        fits += [own_tiou >= background_tiou, other_tiou >= background_tiou]
        kinds.append(np.select(fits, range(5), default=5))  # (S,) rows of KINDS
    goals = {'wrong_label': other, 'localization': own, 'confusion': other}
    rows = zip(matching.matched, kinds, strict=True)
    fixed = np.array([_mean_ap_if_fixed(matching, *row, goals) for row in rows])
    # Place of each detection among those of its class, in units of the positives.
    bands = np.zeros(len(found), dtype=np.int64)
    for label, count in enumerate(matching.positives):
        places = np.flatnonzero(found.labels == label)
        bands[places] = np.arange(len(places)) // max(count, 1)
    near = bands < _NUM_BANDS
    profile = np.zeros((len(kinds), _NUM_BANDS, len(KINDS)), dtype=np.int64)
    for counts, kind in zip(profile, kinds, strict=True):
        np.add.at(counts, (bands[near], kind[near]), 1)
    wrong = near & (kinds[main] == KINDS.index('wrong_label'))
    pairs = (truth.labels[other[wrong]].tolist(), found.labels[wrong].tolist())
    mixed_up = sorted(Counter(zip(*pairs, strict=True)).items())
    ap = average_precision(matching.hits, found.labels, matching.positives)
    totals = np.stack([np.bincount(kind, minlength=len(KINDS)) for kind in kinds])
    return Diagnosis(
        classes=tuple(classes),
        tiou_thresholds=tuple(thresholds.tolist()),
        main_tiou=float(thresholds[main]),
        ap=ap,
        mean_ap=np.nanmean(ap, axis=1),
        segments=matching.positives,
        counts=matching.counts,
        kinds=dict(zip(KINDS, totals.T, strict=True)),
        profile=profile,
        fixed=dict(zip(FIXES, fixed.T, strict=True)),
        recall=matching.hits.sum(axis=1) / len(truth),
        mixed_up=[
            (classes[true], classes[label], count)
            for (true, label), count in sorted(mixed_up, key=lambda item: -item[1])
        ],
        buckets=_bucket_tables(matching, ground_truth, edges),
    )


def _plain(value: Any) -> Any:
    """Arrays as lists, and NaN as None, in anything nested."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return np.where(np.isnan(value), None, value).tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _best_overlaps(matching: Matching) -> tuple[np.ndarray, ...]:
    """The segment (S,) that each detection overlaps most, and its tIoU (S,).

    First of its own class, then of the others; ``UNMATCHED`` and 0 without one.
    """
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
    return index[0], best[0], index[1], best[1]


def _mean_ap_if_fixed(
    matching: Matching,
    matched: np.ndarray,
    kinds: np.ndarray,
    goals: Mapping[str, np.ndarray],
) -> list[float]:
    """The mAP at one threshold with each of ``FIXES``."""
    hits, own_labels, truth = kinds == 0, matching.found.labels, matching.truth
    found = np.isin(np.arange(len(truth)), matched)
    cases = []
    for number, kind in enumerate(KINDS[1:], 1):
        labels, new_hits = own_labels.copy(), hits.copy()
        if kind in goals:
            wrong = np.flatnonzero(kinds == number)
            goal = goals[kind][wrong]
            wrong, goal = wrong[~found[goal]], goal[~found[goal]]
            # Detections are in order of their scores: the best gets the segment.
            goal, first = np.unique(goal, return_index=True)
            new_hits[wrong[first]] = True
            labels[wrong[first]] = truth.labels[goal]
        keep = (kinds != number) | new_hits
        cases.append((new_hits[keep], labels[keep]))
    missed = truth.labels[~found]
    with_missed = np.concatenate([np.ones(len(missed), dtype=bool), hits])
    cases.append((with_missed, np.concatenate([missed, own_labels])))
    cases.append((hits[hits], own_labels[hits]))
    positives = matching.positives
    return [
        np.nanmean(average_precision(case_hits[None], labels, positives))
        for case_hits, labels in cases
    ]


def _bucket_tables(
    matching: Matching, videos: Mapping[str, VideoAnnotation], edges: Edges
) -> list[BucketTable]:
    """A table for each characteristic; without coverage if a duration is unknown."""
    for name, values in edges.items():
        if not (len(values) and (np.diff(values) > 0).all()):
            raise ValueError(f'{name} edges {list(values)} are not ascending')
    length = np.diff(matching.truth.segments, axis=1)[:, 0]
    seconds = [videos[name].duration or np.nan for name in matching.video_ids]
    coverage = length / np.array(seconds, dtype=float)[matching.truth_video]
    key = matching.truth_video * matching.num_classes + matching.truth.labels
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    columns = [('length', length, edges.get('length'), ' s')]
    if np.isfinite(coverage).all():
        in_percent = [100 * edge for edge in edges.get('coverage', ())] or None
        columns.append(('coverage', 100 * coverage, in_percent, ' %'))
    instances = counts[inverse].astype(float)
    columns.append(('instances', instances, edges.get('instances'), ''))
    rows = np.arange(len(matching.truth))
    missed = np.stack([~np.isin(rows, matched) for matched in matching.matched])
    overall = _normalized_mean_ap(matching, rows >= 0)
    tables = []
    for name, values, own_edges, unit in columns:
        names, bucket = _sort(values, own_edges, unit)
        inside = bucket == np.arange(len(names))[:, None]  # (B, G)
        mean_ap = np.stack([_normalized_mean_ap(matching, own) for own in inside], 1)
        average, total = mean_ap.mean(axis=0), overall.mean()
        tables.append(
            BucketTable(
                name,
                names,
                total=inside.sum(axis=1),
                missed=(missed[:, None] & inside).sum(axis=2),
                mean_ap=mean_ap,
                overall=overall,
                average=average,
                relative_change=average / total - 1 if total else average * np.nan,
                sensitivity=float(np.nanmax(average) - np.nanmin(average)),
                impact=float(np.nanmax(average) - total),
            )
        )
    return tables


def _normalized_mean_ap(matching: Matching, segments: np.ndarray) -> np.ndarray:
    """The mAP (M,) on chosen segments (G,), as if every class had equally many.

    Precision depends on how many segments there are to find: ``R N / (R N + F)`` with
    the recall ``R``, ``F`` false positives, and the same number ``N`` for every class
    and every choice of segments, that of all segments over that of all classes, makes
    numbers comparable. A detection that finds a segment that is not among the chosen
    ones is left out; one that finds nothing is a false positive.
    """
    labels = matching.truth.labels[segments]
    positives = np.bincount(labels, minlength=matching.num_classes)
    if not positives.any():
        return np.full(len(matching.matched), np.nan)
    usual = len(matching.truth) / np.count_nonzero(matching.positives)
    values = []
    for matched, hits in zip(matching.matched, matching.hits, strict=True):
        # UNMATCHED picks any segment, which does not matter to what is no hit.
        keep = ~hits | segments[matched]
        labels = matching.found.labels[keep]
        ap = average_precision(hits[None, keep], labels, positives, usual)
        values.append(np.nanmean(ap))
    return np.array(values)


def _sort(
    values: np.ndarray, edges: Sequence[float] | None, unit: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the buckets, and the bucket (G,) of each value (G,)."""
    if edges is None:
        quantiles = np.quantile(values, np.arange(1, _NUM_BUCKETS) / _NUM_BUCKETS)
        edges = np.array([float(f'{quantile:.2g}') for quantile in quantiles])
        edges = np.unique(edges if unit else np.floor(edges))
        edges = edges[(edges >= values.min()) & (edges < values.max())]
    edges = np.asarray(edges, dtype=float)
    if not len(edges):
        names = ['all']
    elif unit:
        names = [f'{a:g} - {b:g}{unit}' for a, b in pairwise(edges)]
        names = [f'<= {edges[0]:g}{unit}', *names, f'> {edges[-1]:g}{unit}']
    else:
        # Counts are whole numbers.
        ends = [0, *edges.astype(int).tolist()]
        names = [f'{b}' if b == a + 1 else f'{a + 1} - {b}' for a, b in pairwise(ends)]
        names.append(f'> {ends[-1]}')
    if 1 < len(names) <= len(_SIZES):
        names = [f'{size}: {name}' for size, name in zip(_SIZES, names, strict=False)]
    bucket = np.digitize(values, edges, right=True)
    first, last = bucket.min(), bucket.max()
    return tuple(names[first : last + 1]), bucket - first
