"""Which segments are missed: the short, the long, those in a crowd?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.video_matching import Matching

_NUM_BUCKETS = 5


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


@dataclass(frozen=True)
class MissedByBucket:
    """How many segments are missed, by one characteristic.

    Attributes:
        characteristic (str): 'length', 'coverage' or 'instances'.
        buckets (list[str]): B names, e.g. '3 - 6 s'.
        total (np.ndarray): (B,) segments in each.
        missed (np.ndarray): (M, B) of which no detection finds them, by threshold.
    """

    characteristic: str
    buckets: list[str]
    total: np.ndarray = field(repr=False)
    missed: np.ndarray = field(repr=False)


def missed_by_characteristic(
    matching: Matching,
    durations: Mapping[str, float | None],
    edges: CharacteristicEdges = DEFAULT_EDGES,
) -> list[MissedByBucket]:
    """Count the missed segments by length, coverage and number of instances.

    Args:
        matching (Matching): All segments and detections.
        durations (Mapping[str, float | None]): Seconds of each video. If one with a
            segment is not known, coverage is left out.
        edges (CharacteristicEdges): Of the buckets.

    Returns:
        list[MissedByBucket]: One for each characteristic.
    """
    missed = np.ones((len(matching.matched), len(matching.truth_labels)), dtype=bool)
    for row, matched in enumerate(matching.matched):
        missed[row, matched[matched != UNMATCHED]] = False

    length = np.diff(matching.truth_segments, axis=1)[:, 0]
    seconds = np.array(
        [durations.get(name) or np.nan for name in matching.video_ids], dtype=float
    )
    coverage = length / seconds[matching.truth_video]
    key = matching.truth_video * matching.num_classes + matching.truth_labels
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)

    tables = [_count('length', length, edges.length, missed, ' s')]
    if np.isfinite(coverage).all():
        tables.append(
            _count('coverage', 100 * coverage, _percent(edges.coverage), missed, ' %')
        )
    tables.append(
        _count('instances', counts[inverse].astype(float), edges.instances, missed, '')
    )
    return tables


def _percent(edges: Sequence[float] | None) -> list[float] | None:
    """Fractions in percent."""
    return None if edges is None else [100 * edge for edge in edges]


def _count(
    characteristic: str,
    values: np.ndarray,
    edges: Sequence[float] | None,
    missed: np.ndarray,
    unit: str,
) -> MissedByBucket:
    """The table of one characteristic; empty buckets at both ends are left out."""
    if edges is None:
        quantiles = np.quantile(values, np.arange(1, _NUM_BUCKETS) / _NUM_BUCKETS)
        edges = [float(f'{quantile:.2g}') for quantile in quantiles]
        if not unit:
            edges = np.floor(edges)
    edges = np.unique(np.asarray(edges, dtype=float))
    edges = edges[(edges >= values.min()) & (edges < values.max())]
    bucket = np.digitize(values, edges, right=True)
    total = np.bincount(bucket, minlength=len(edges) + 1)
    return MissedByBucket(
        characteristic,
        _names(edges, unit),
        total,
        np.stack([np.bincount(bucket[row], minlength=len(total)) for row in missed]),
    )


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
