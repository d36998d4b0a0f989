"""Everything that is worth knowing about the errors in detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ...structures import Segments, VideoAnnotation
from ..functional.matching import match_videos
from ..functional.mean_ap import average_precision
from . import errors
from .buckets import BucketTable, Edges, bucket_tables
from .errors import ERROR_KINDS, FIXES, KINDS

_NUM_BANDS = 10


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with the detections of some videos, at M tIoU thresholds.

    Attributes:
        classes: K names.
        tiou_thresholds: M.
        main: Position of the threshold that pictures are drawn for.
        ap: (M, K), NaN for a class without a segment.
        positives: (K,) segments of each class.
        num_detections: (K,) detections of each class.
        num_videos: Videos evaluated.
        ignored: See :class:`.Matching`.
        kinds: (M, 6) number of detections of each of :data:`.KINDS`.
        profile: (M, 10, 6) the same of the best G detections of each class with G
            segments, of the next G, and so on.
        removed: (M, 5) mAP without each of :data:`.ERROR_KINDS`.
        fixed: (M, 7) mAP if fixed, see :func:`.mean_ap_if_fixed`.
        recall: (M,) share of all segments that are found.
        mixed_up: (K, K) detections with a wrong label at ``main`` by true and detected
            class, in the first ten bands of ``profile``.
        boundaries: (H, 2) seconds by which start and end of the true positives at
            ``main`` are late.
        buckets: By length, coverage, and instances.
    """

    classes: tuple[str, ...]
    tiou_thresholds: tuple[float, ...]
    main: int
    ap: np.ndarray
    positives: np.ndarray
    num_detections: np.ndarray
    num_videos: int
    ignored: dict[str, int]
    kinds: np.ndarray
    profile: np.ndarray
    removed: np.ndarray
    fixed: np.ndarray
    recall: np.ndarray
    mixed_up: np.ndarray
    boundaries: np.ndarray
    buckets: list[BucketTable]

    @property
    def mean_ap(self) -> np.ndarray:
        """MAP (M,) over the classes that have a segment."""
        return np.nanmean(self.ap, axis=1)

    @property
    def main_tiou(self) -> float:
        """The threshold that pictures are drawn for."""
        return self.tiou_thresholds[self.main]

    def top_mix_ups(self, limit: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions of two classes, at most ``limit``.

        Returns:
            True class, detected class, number of detections.
        """
        order = np.argsort(-self.mixed_up, axis=None, kind='stable')[:limit]
        pairs = [np.unravel_index(place, self.mixed_up.shape) for place in order]
        return [
            (self.classes[true], self.classes[label], int(self.mixed_up[true, label]))
            for true, label in pairs
            if self.mixed_up[true, label]
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain numbers, of the classes that have a segment.

        Returns:
            Fractions of 1, seconds, and counts, ready for JSON.
        """
        present = np.flatnonzero(self.positives)
        return {
            'tiou_thresholds': list(self.tiou_thresholds),
            'main_tiou': self.main_tiou,
            'counts': {
                'videos': self.num_videos,
                'segments': int(self.positives.sum()),
                'detections': int(self.num_detections.sum()),
                **self.ignored,
            },
            'mAP': self.mean_ap.tolist(),
            'average_mAP': float(self.mean_ap.mean()),
            'recall': self.recall.tolist(),
            'classes': {
                self.classes[label]: {
                    'AP': self.ap[:, label].tolist(),
                    'segments': int(self.positives[label]),
                    'detections': int(self.num_detections[label]),
                }
                for label in present
            },
            'detections_by_kind': _by_name(KINDS, self.kinds),
            'profile': {'kinds': list(KINDS), 'counts': self.profile.tolist()},
            'normalized_mAP': self.buckets[0].overall.tolist(),
            'mAP_if_removed': _by_name(ERROR_KINDS, self.removed),
            'mAP_if_fixed': _by_name(FIXES, self.fixed),
            'missed': {
                table.characteristic: {
                    'buckets': list(table.buckets),
                    'segments': table.total.tolist(),
                    'missed': table.missed.tolist(),
                }
                for table in self.buckets
            },
            'sensitivity': {
                table.characteristic: {
                    'buckets': list(table.buckets),
                    'segments': table.total.tolist(),
                    'normalized_mAP': _or_none(table.mean_ap),
                    'average': _or_none(table.average),
                    'relative_change': _or_none(table.relative_change),
                    'sensitivity': table.spread,
                    'impact': table.impact,
                }
                for table in self.buckets
            },
            'mixed_up': [
                {'true': true, 'detected': detected, 'detections': count}
                for true, detected, count in self.top_mix_ups(50)
            ],
            'boundary_error_s': self.boundary_summary(),
        }

    def boundary_summary(self) -> dict[str, dict[str, float | None]]:
        """Median error in seconds of the starts and ends of the true positives.

        Returns:
            For ``start`` and ``end`` the ``median_absolute`` and the ``median`` error,
            positive for late; None without a true positive.
        """
        if not len(self.boundaries):
            nothing = {'median_absolute': None, 'median': None}
            return {'start': nothing, 'end': nothing}
        return {
            name: {
                'median_absolute': float(np.median(np.abs(column))),
                'median': float(np.median(column)),
            }
            for name, column in zip(('start', 'end'), self.boundaries.T, strict=True)
        }


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
        edges: Of the buckets that segments are sorted into, see :data:`.Edges`.

    Returns:
        The findings.

    Raises:
        ValueError: ``main_tiou`` is not among the thresholds, ``background_tiou``
            is not in (0, 1), or see :func:`.match_videos`.
    """
    if not 0 < background_tiou < 1:
        raise ValueError(f'background_tiou must be in (0, 1), got {background_tiou}')
    actions = {name: video.actions for name, video in ground_truth.items()}
    matching = match_videos(actions, detections, len(classes), tiou_thresholds)
    main = _main_row(matching.tiou_thresholds, main_tiou)
    truth, found, hits = matching.truth, matching.found, matching.hits
    # Place of each detection among those of its class, in units of the positives.
    bands = np.zeros(len(found), dtype=np.int64)
    for label, count in enumerate(matching.positives):
        own = np.flatnonzero(found.labels == label)
        bands[own] = np.arange(len(own)) // max(count, 1)
    overlaps = errors.best_overlaps(matching)
    rows = range(len(matching.tiou_thresholds))
    kinds = np.stack(
        [
            errors.classify_detections(matching, overlaps, row, background_tiou)
            for row in rows
        ]
    )
    profile = np.zeros((len(rows), _NUM_BANDS, len(KINDS)), dtype=np.int64)
    in_bands = bands < _NUM_BANDS
    for row in rows:
        np.add.at(profile[row], (bands[in_bands], kinds[row, in_bands]), 1)
    wrong = np.flatnonzero((kinds[main] == KINDS.index('wrong_label')) & in_bands)
    mixed_up = np.zeros((len(classes),) * 2, dtype=np.int64)
    np.add.at(mixed_up, (truth.labels[overlaps.other[wrong]], found.labels[wrong]), 1)
    durations = {name: video.duration for name, video in ground_truth.items()}
    true = hits[main]
    return Diagnosis(
        classes=tuple(classes),
        tiou_thresholds=tuple(matching.tiou_thresholds.tolist()),
        main=main,
        ap=average_precision(hits, found.labels, matching.positives),
        positives=matching.positives,
        num_detections=np.bincount(found.labels, minlength=len(classes)),
        num_videos=len(matching.video_ids),
        ignored=matching.ignored,
        kinds=np.stack([np.bincount(k, minlength=len(KINDS)) for k in kinds]),
        profile=profile,
        removed=np.stack(
            [errors.mean_ap_if_removed(matching, row, kinds[row]) for row in rows]
        ),
        fixed=np.stack(
            [
                errors.mean_ap_if_fixed(matching, overlaps, row, kinds[row])
                for row in rows
            ]
        ),
        recall=hits.sum(axis=1) / len(truth),
        mixed_up=mixed_up,
        boundaries=found.segments[true] - truth.segments[matching.matched[main, true]],
        buckets=bucket_tables(matching, durations, edges),
    )


def _main_row(thresholds: np.ndarray, wanted: float | None) -> int:
    """Position of the threshold that pictures are drawn for."""
    near = np.flatnonzero(np.abs(thresholds - (wanted or 0.5)) < 1e-6)
    if len(near):
        return int(near[0])
    if wanted is None:
        return len(thresholds) // 2
    raise ValueError(
        f'tIoU {wanted:g} is not among the evaluated thresholds {thresholds.tolist()}'
    )


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, list]:
    """Columns of a matrix (M, len(names)) by their names."""
    return {name: column.tolist() for name, column in zip(names, values.T, strict=True)}


def _or_none(values: np.ndarray) -> list:
    """Numbers as JSON knows them, which has no NaN."""
    return np.where(np.isnan(values), None, values).tolist()
