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
import pandas as pd

from ..structures import Segments, VideoAnnotation
from .functional.mean_ap import (
    UNMATCHED,
    MeanAPResult,
    average_precision,
    mean_average_precision,
    overlapping_pairs,
    threshold_rows,
)

KINDS = (
    'true_positive',  # finds a segment
    'double_detection',  # tIoU >= t with one of its class, which a better one found
    'wrong_label',  # tIoU >= t with a segment of another class
    'localization',  # tIoU >= b with a segment of its class
    'confusion',  # tIoU >= b with a segment of another class
    'background',  # none of these
)
"""What a detection can be: the first of these that fits at the threshold ``t``, with
``b = background_tiou``."""

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
        main_tiou: One of them, for what is not shown for all. None: 0.5, or the one in
            the middle if 0.5 is not among them.
        background_tiou: Below it a detection has nothing to do with a segment.
        edges: Of the buckets that segments are sorted into, see :data:`Edges`.

    Returns:
        The findings.

    Raises:
        ValueError: ``main_tiou`` is not one of the thresholds, ``background_tiou`` not
            in (0, 1), edges not ascending, or see :func:`.mean_average_precision`.
    """
    if not 0 < background_tiou < 1:
        raise ValueError(f'background_tiou must be in (0, 1), got {background_tiou}')
    actions = {name: video.actions for name, video in ground_truth.items()}
    result = mean_average_precision(actions, detections, len(classes), tiou_thresholds)
    thresholds = result.tiou_thresholds
    usual = 0.5 if 0.5 in thresholds else thresholds[len(thresholds) // 2]
    (main,) = threshold_rows(thresholds, [main_tiou or usual])
    truth, labels = result.truth.labels, result.found.labels
    hits = result.matched != UNMATCHED  # (M, S)
    (own, other), (own_tiou, other_tiou) = _best_overlaps(result)
    enough = np.array(thresholds)[:, None]
    fits = [hits, own_tiou >= enough, other_tiou >= enough]
    fits += [own_tiou >= background_tiou, other_tiou >= background_tiou]
    kinds = np.select(fits, range(5), default=5)  # (M, S) rows of KINDS
    positives = np.bincount(truth, minlength=len(classes))
    # Place of each detection among those of its class, in units of the positives.
    bands = pd.Series(labels).groupby(labels).cumcount().to_numpy() // positives[labels]
    near = bands < _NUM_BANDS
    profile = np.zeros((len(thresholds), _NUM_BANDS, len(KINDS)), dtype=np.int64)
    for counts, kind in zip(profile, kinds, strict=True):
        np.add.at(counts, (bands[near], kind[near]), 1)
    totals = (kinds == np.arange(len(KINDS))[:, None, None]).sum(axis=2)  # (6, M)
    goals = {'wrong_label': other, 'localization': own, 'confusion': other}
    rows = zip(result.matched, kinds, strict=True)
    fixed = np.array([_mean_ap_if_fixed(result, *row, goals) for row in rows])
    wrong = near & (kinds[main] == KINDS.index('wrong_label'))
    pairs = truth[other[wrong]].tolist(), labels[wrong].tolist()
    mixed_up = Counter(sorted(zip(*pairs, strict=True)))
    return Diagnosis(
        classes=tuple(classes),
        tiou_thresholds=thresholds,
        main_tiou=thresholds[main],
        ap=result.ap,
        mean_ap=result.mean_ap,
        segments=positives,
        counts=result.counts,
        kinds=dict(zip(KINDS, totals, strict=True)),
        profile=profile,
        fixed=dict(zip(FIXES, fixed.T, strict=True)),
        recall=hits.sum(axis=1) / len(truth),
        mixed_up=[
            (classes[true], classes[label], count)
            # Equally frequent pairs stay in order of the classes.
            for (true, label), count in mixed_up.most_common()
        ],
        buckets=_bucket_tables(result, ground_truth, edges),
    )


def _plain(value: Any) -> Any:
    """Arrays as lists, and NaN as None, in anything nested."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _best_overlaps(result: MeanAPResult) -> tuple[np.ndarray, np.ndarray]:
    """The segments (2, S) that each detection overlaps most, and their tIoU (2, S).

    First of its own class, then of the others; ``UNMATCHED`` and 0 without one.
    """
    found, truth = result.found, result.truth
    videos = result.video, result.truth_video
    row, target, tiou = overlapping_pairs(found, videos[0], truth, videos[1])
    # The best of a detection comes first; of equally good ones the first segment.
    order = np.lexsort((target, -tiou, row))
    row, target, tiou = row[order], target[order], tiou[order]
    index, best = np.full((2, len(found)), UNMATCHED), np.zeros((2, len(found)))
    same = found.labels[row] == truth.labels[target]
    for side, pairs in enumerate((np.flatnonzero(same), np.flatnonzero(~same))):
        rows, first = np.unique(row[pairs], return_index=True)
        index[side, rows] = target[pairs[first]]
        best[side, rows] = tiou[pairs[first]]
    return index, best


def _mean_ap_if_fixed(
    result: MeanAPResult,
    matched: np.ndarray,
    kinds: np.ndarray,
    goals: Mapping[str, np.ndarray],
) -> list[float]:
    """The mAP at one threshold with each of ``FIXES``.

    ``goals`` are, by kind, the segments (S,) that detections of it should find.
    """
    truth, own = result.truth.labels, result.found.labels
    hits, is_open = kinds == 0, ~np.isin(np.arange(len(truth)), matched)
    cases = []
    for number, kind in enumerate(KINDS[1:], 1):
        labels, right = own.copy(), hits.copy()
        if kind in goals:
            wrong = np.flatnonzero(kinds == number)
            wrong = wrong[is_open[goals[kind][wrong]]]
            # Detections are in order of their scores: the best gets the segment.
            goal, first = np.unique(goals[kind][wrong], return_index=True)
            right[wrong[first]] = True
            labels[wrong[first]] = truth[goal]
        keep = (kinds != number) | right
        cases.append((right[keep], labels[keep]))
    missed = truth[is_open]
    with_missed = np.append(np.ones(len(missed), dtype=bool), hits)
    cases += [(with_missed, np.append(missed, own)), (hits[hits], own[hits])]
    positives = np.bincount(truth, minlength=result.ap.shape[1])
    ap = (average_precision(right[None], labels, positives) for right, labels in cases)
    return [*map(np.nanmean, ap)]


def _bucket_tables(
    result: MeanAPResult, videos: Mapping[str, VideoAnnotation], edges: Edges
) -> list[BucketTable]:
    """A table for each characteristic; without coverage if a duration is unknown."""
    for name, values in edges.items():
        if not (len(values) and (np.diff(values) > 0).all()):
            raise ValueError(f'{name} edges {list(values)} are not ascending')
    edges = {**edges, 'coverage': [100 * edge for edge in edges.get('coverage', ())]}
    length = np.diff(result.truth.segments, axis=1)[:, 0]
    video, label = result.truth_video, result.truth.labels
    seconds = np.array([one.duration or np.nan for one in videos.values()])
    instances = pd.Series(length).groupby([video, label]).transform('size')
    characteristics = {
        'length': (length, ' s'),
        'coverage': (100 * (length / seconds[video]), ' %'),
        'instances': (instances.to_numpy(float), ''),
    }
    rows = np.arange(len(video))
    missed = np.stack([~np.isin(rows, matched) for matched in result.matched])
    overall = _normalized_mean_ap(result, rows >= 0)
    total, tables = overall.mean(), []
    for name, (values, unit) in characteristics.items():
        if np.isnan(values).any():
            continue
        names, bucket = _sort(values, edges.get(name), unit)
        inside = bucket == np.arange(len(names))[:, None]  # (B, G)
        mean_ap = np.stack([_normalized_mean_ap(result, own) for own in inside], axis=1)
        average = mean_ap.mean(axis=0)
        tables.append(
            BucketTable(
                name,
                names,
                total=inside.sum(axis=1),
                missed=(missed[:, None] & inside).sum(axis=2),
                mean_ap=mean_ap,
                overall=overall,
                average=average,
                relative_change=average / (total or np.nan) - 1,
                sensitivity=float(np.nanmax(average) - np.nanmin(average)),
                impact=float(np.nanmax(average) - total),
            )
        )
    return tables


def _normalized_mean_ap(result: MeanAPResult, segments: np.ndarray) -> np.ndarray:
    """The mAP (M,) on chosen segments (G,), as if every class had equally many.

    Precision depends on how many segments there are to find: ``R N / (R N + F)`` with
    the recall ``R``, ``F`` false positives, and the same number ``N`` for every class
    and every choice of segments, that of all segments over that of all classes, makes
    numbers comparable. A detection that finds a segment that is not among the chosen
    ones is left out; one that finds nothing is a false positive.
    """
    truth, found = result.truth.labels, result.found.labels
    positives = np.bincount(truth[segments], minlength=result.ap.shape[1])
    usual, values = len(truth) / len(np.unique(truth)), []
    for matched in result.matched:
        hits = matched != UNMATCHED
        # UNMATCHED picks any segment, which does not matter to what is no hit.
        keep = ~hits | segments[matched]
        ap = average_precision(hits[None, keep], found[keep], positives, usual)
        values.append(np.nanmean(ap) if positives.any() else np.nan)
    return np.array(values)


def _sort(
    values: np.ndarray, edges: Sequence[float] | None, unit: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the buckets, and the bucket (G,) of each value (G,)."""
    quantiles = np.quantile(values, np.arange(1, _NUM_BUCKETS) / _NUM_BUCKETS)
    rounded = [float(f'{quantile:.2g}') for quantile in quantiles]
    # Without a unit they are counts, which are whole numbers.
    ends = np.unique(np.floor(edges or rounded) if not unit else edges or rounded)
    if not edges:
        ends = ends[(ends >= values.min()) & (ends < values.max())]
    names = []
    for a, b in pairwise([-np.inf, *ends, np.inf]):
        first = a if unit else max(a, 0) + 1
        name = f'{b:g}' if b == first else f'{first:g} - {b:g}{unit}'
        if unit and a == -np.inf:
            name = f'<= {b:g}{unit}'
        names.append(f'> {a:g}{unit}' if b == np.inf else name)
    if not len(ends):
        names = ['all']
    elif len(names) <= len(_SIZES):
        names = [f'{size}: {name}' for size, name in zip(_SIZES, names, strict=False)]
    bucket = np.digitize(values, ends, right=True)
    return tuple(names[bucket.min() : bucket.max() + 1]), bucket - bucket.min()
