"""What a segment is like: its length, its share of the video, its company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtal_mts.evaluation.functional.video_matching import Matching

_NUM_BUCKETS = 5
_SIZES = ('XS', 'S', 'M', 'L', 'XL')


@dataclass(frozen=True)
class CharacteristicEdges:
    """Where the buckets of the characteristics of a segment begin and end.

    None divides the segments into five buckets of about equal size.

    Attributes:
        length (Sequence[float], optional): Seconds, e.g. (3, 6, 12, 18).
        coverage (Sequence[float], optional): Fractions of the video.
        instances (Sequence[float], optional): Segments of the same class in the video.

    Raises:
        ValueError: If edges are not ascending.
    """

    length: Sequence[float] | None = None
    coverage: Sequence[float] | None = None
    instances: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Check the order."""
        for name, edges in vars(self).items():
            if edges is not None and not (len(edges) and (np.diff(edges) > 0).all()):
                raise ValueError(f'{name} edges {list(edges)} are not ascending')


DEFAULT_EDGES = CharacteristicEdges()

PAPER_EDGES = {
    'thumos14': CharacteristicEdges(
        (3, 6, 12, 18), (0.02, 0.04, 0.06, 0.08), (1, 40, 80)
    ),
    'activitynet': CharacteristicEdges(
        (30, 60, 120, 180), (0.2, 0.4, 0.6, 0.8), (1, 4, 8)
    ),
}
"""Buckets of Alwassel et al., "Diagnosing Error in Temporal Action Detectors"
(ECCV 2018), by data set."""


@dataclass(frozen=True)
class Characteristic:
    """One property of the ground-truth segments, in buckets.

    Attributes:
        name (str): 'length', 'coverage' or 'instances'.
        buckets (tuple[str, ...]): B names, e.g. 'S: 3 - 6 s'.
        bucket (np.ndarray): (G,) that each segment is in.
    """

    name: str
    buckets: tuple[str, ...]
    bucket: np.ndarray = field(repr=False)

    @property
    def total(self) -> np.ndarray:
        """Segments (B,) in each bucket."""
        return self.count(self.bucket >= 0)

    def count(self, mask: np.ndarray) -> np.ndarray:
        """Count some of the segments.

        Args:
            mask (np.ndarray): (G,) bool.

        Returns:
            np.ndarray: (B,) how many of them are in each bucket.
        """
        return np.bincount(self.bucket[mask], minlength=len(self.buckets))


def segment_characteristics(
    matching: Matching,
    durations: Mapping[str, float | None],
    edges: CharacteristicEdges = DEFAULT_EDGES,
) -> list[Characteristic]:
    """Sort the segments by length, coverage and number of instances.

    Args:
        matching (Matching): All segments.
        durations (Mapping[str, float | None]): Seconds of each video. If one with a
            segment is not known, coverage is left out.
        edges (CharacteristicEdges): Of the buckets.

    Returns:
        list[Characteristic]: Empty buckets at both ends are left out.
    """
    length = np.diff(matching.truth_segments, axis=1)[:, 0]
    seconds = np.array(
        [durations.get(name) or np.nan for name in matching.video_ids], dtype=float
    )
    coverage = length / seconds[matching.truth_video]
    key = matching.truth_video * matching.num_classes + matching.truth_labels
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)

    found = [_sort('length', length, edges.length, ' s')]
    if np.isfinite(coverage).all():
        in_percent = edges.coverage and [100 * edge for edge in edges.coverage]
        found.append(_sort('coverage', 100 * coverage, in_percent, ' %'))
    found.append(_sort('instances', counts[inverse].astype(float), edges.instances, ''))
    return found


def _sort(
    name: str, values: np.ndarray, edges: Sequence[float] | None, unit: str
) -> Characteristic:
    """One characteristic from its values (G,)."""
    if edges is None:
        quantiles = np.quantile(values, np.arange(1, _NUM_BUCKETS) / _NUM_BUCKETS)
        edges = np.array([float(f'{quantile:.2g}') for quantile in quantiles])
        edges = np.unique(edges if unit else np.floor(edges))
        edges = edges[(edges >= values.min()) & (edges < values.max())]
    edges = np.asarray(edges, dtype=float)
    names = _names(edges, unit)
    if 1 < len(names) <= len(_SIZES):
        names = [f'{size}: {range_}' for size, range_ in zip(_SIZES, names)]
    bucket = np.digitize(values, edges, right=True)
    first, last = bucket.min(), bucket.max()
    return Characteristic(name, tuple(names[first : last + 1]), bucket - first)


def _names(edges: np.ndarray, unit: str) -> list[str]:
    """Names of the buckets between the edges; those of counts are whole numbers."""
    if not len(edges):
        return ['all']
    if unit:
        between = [f'{a:g} - {b:g}{unit}' for a, b in zip(edges, edges[1:])]
        return [f'<= {edges[0]:g}{unit}', *between, f'> {edges[-1]:g}{unit}']
    first, *following = edges.astype(int).tolist()
    names = ['1' if first == 1 else f'1 - {first}']
    last = first
    for edge in following:
        names.append(f'{edge}' if edge == last + 1 else f'{last + 1} - {edge}')
        last = edge
    return [*names, f'> {last}']
