"""How missed segments and the mAP depend on what the segments are like.

After Alwassel et al., "Diagnosing Error in Temporal Action Detectors" (ECCV 2018), who
follow Hoiem et al., "Diagnosing Error in Object Detectors" (ECCV 2012).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..functional.matching import Matching
from ..functional.mean_ap import average_precision

_NUM_BUCKETS = 5
_SIZES = ('XS', 'S', 'M', 'L', 'XL')


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
    """

    characteristic: str
    buckets: tuple[str, ...]
    total: np.ndarray
    missed: np.ndarray
    mean_ap: np.ndarray
    overall: np.ndarray

    @property
    def average(self) -> np.ndarray:
        """Normalised mAP (B,), average over the thresholds."""
        return self.mean_ap.mean(axis=0)

    @property
    def relative_change(self) -> np.ndarray:
        """Change (B,) of the average, as a part of that on all segments.

        -0.2: a fifth lower. NaN if nothing at all is found.
        """
        overall = self.overall.mean()
        if not overall:
            return np.full(len(self.total), np.nan)
        return self.average / overall - 1

    @property
    def spread(self) -> float:
        """The paper's sensitivity: average on the best minus that on the worst."""
        return float(np.nanmax(self.average) - np.nanmin(self.average))

    @property
    def impact(self) -> float:
        """Average on the best bucket minus that on all segments.

        What a detector would gain if it were as good on all other buckets.
        """
        return float(np.nanmax(self.average) - self.overall.mean())


def bucket_tables(
    matching: Matching,
    durations: Mapping[str, float | None],
    edges: Edges,
) -> list[BucketTable]:
    """Sorts the segments by length, coverage and number of instances.

    Args:
        matching: All segments and detections.
        durations: Seconds of each video. If one with a segment is not known, coverage
            is left out.
        edges: Of the buckets.

    Returns:
        One table for each characteristic. Empty buckets at both ends are left out.

    Raises:
        ValueError: Edges are not ascending.
    """
    for name, values in edges.items():
        if not (len(values) and (np.diff(values) > 0).all()):
            raise ValueError(f'{name} edges {list(values)} are not ascending')
    length = np.diff(matching.truth.segments, axis=1)[:, 0]
    seconds = np.array(
        [durations.get(name) or np.nan for name in matching.video_ids], dtype=float
    )
    coverage = length / seconds[matching.truth_video]
    key = matching.truth_video * matching.num_classes + matching.truth.labels
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    columns = [('length', length, edges.get('length'), ' s')]
    if np.isfinite(coverage).all():
        in_percent = [100 * edge for edge in edges.get('coverage', ())] or None
        columns.append(('coverage', 100 * coverage, in_percent, ' %'))
    instances = counts[inverse].astype(float)
    columns.append(('instances', instances, edges.get('instances'), ''))

    missed = np.ones((len(matching.matched), len(matching.truth)), dtype=bool)
    for row, (matched, hits) in enumerate(
        zip(matching.matched, matching.hits, strict=True)
    ):
        missed[row, matched[hits]] = False
    overall = normalized_mean_ap(matching, np.ones(len(matching.truth), dtype=bool))
    tables = []
    for name, values, own_edges, unit in columns:
        names, bucket = _sort(values, own_edges, unit)
        inside = bucket == np.arange(len(names))[:, None]  # (B, G)
        tables.append(
            BucketTable(
                name,
                names,
                total=inside.sum(axis=1),
                missed=(missed[:, None] & inside).sum(axis=2),
                mean_ap=np.stack(
                    [normalized_mean_ap(matching, chosen) for chosen in inside], axis=1
                ),
                overall=overall,
            )
        )
    return tables


def normalized_mean_ap(matching: Matching, segments: np.ndarray) -> np.ndarray:
    """The mAP on some segments, as if every class had equally many.

    Precision depends on how many segments there are to find: ``R N / (R N + F)`` with
    the recall ``R``, ``F`` false positives, and the same number ``N`` for every class
    and every choice of segments, that of all segments over that of all classes, makes
    numbers comparable. A detection that finds a segment that is not among the chosen
    ones is left out; one that finds nothing is a false positive.

    Args:
        matching: All segments and detections.
        segments: (G,) bool, which of the segments.

    Returns:
        (M,) over the classes that have one of the segments; NaN without a segment.
    """
    positives = np.bincount(
        matching.truth.labels[segments], minlength=matching.num_classes
    )
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
    names = _names(edges, unit)
    if 1 < len(names) <= len(_SIZES):
        names = [
            f'{size}: {range_}' for size, range_ in zip(_SIZES, names, strict=False)
        ]
    bucket = np.digitize(values, edges, right=True)
    first, last = bucket.min(), bucket.max()
    return tuple(names[first : last + 1]), bucket - first


def _names(edges: np.ndarray, unit: str) -> list[str]:
    """Names of the buckets between the edges; those of counts are whole numbers."""
    if not len(edges):
        return ['all']
    if unit:
        between = [f'{a:g} - {b:g}{unit}' for a, b in pairwise(edges)]
        return [f'<= {edges[0]:g}{unit}', *between, f'> {edges[-1]:g}{unit}']
    first, *following = edges.astype(int).tolist()
    names = ['1' if first == 1 else f'1 - {first}']
    last = first
    for edge in following:
        names.append(f'{edge}' if edge == last + 1 else f'{last + 1} - {edge}')
        last = edge
    return [*names, f'> {last}']
