"""Everything that is worth knowing about the errors in detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtal_mts.evaluation.functional.detections import Detections
from mmtal_mts.evaluation.functional.matching import UNMATCHED
from mmtal_mts.evaluation.functional.mean_ap import average_precision
from mmtal_mts.evaluation.functional.video_matching import (
    match_videos,
)
from mmtal_mts.structures.annotations import VideoAnnotation

from .characteristics import (
    DEFAULT_EDGES,
    CharacteristicEdges,
    segment_characteristics,
)
from .errors import ERROR_KINDS, KINDS, best_overlaps, classify_detections
from .fixes import FIXES, mean_ap_if_fixed, mean_ap_if_removed
from .missed import MissedByBucket, missed_by_characteristic
from .ranking import (
    RECALL_POINTS,
    boundary_errors,
    mixed_up_classes,
    precision_recall,
    profile,
    rank_bands,
)
from .sensitivity import Sensitivity, sensitivity_by_characteristic


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with the detections of some videos, at M tIoU thresholds.

    Attributes:
        classes (tuple[str, ...]): K names.
        tiou_thresholds (tuple[float, ...]): M.
        main (int): The threshold that pictures are drawn for.
        ap (np.ndarray): (M, K), NaN for a class without a segment.
        positives (np.ndarray): (K,) segments of each class.
        num_detections (np.ndarray): (K,) detections of each class.
        num_videos (int): Videos evaluated.
        ignored (dict[str, int]): See :class:`.Matching`.
        kinds (np.ndarray): (M, 6) number of detections of each kind.
        profile (np.ndarray): (M, 10, 6), see :func:`.profile`.
        removed (np.ndarray): (M, 5) mAP without each error kind.
        fixed (np.ndarray): (M, 7) mAP if fixed, see :func:`.mean_ap_if_fixed`.
        recall (np.ndarray): (M,) share of all segments that are found.
        curves (np.ndarray): (M, K, 101), see :func:`.precision_recall`.
        mixed_up (np.ndarray): (K, K) at ``main``, see :func:`.mixed_up_classes`.
        boundaries (np.ndarray): (H, 2) at ``main``, see :func:`.boundary_errors`.
        missed (list[MissedByBucket]): By length, coverage, and instances.
        sensitivity (list[Sensitivity]): The same characteristics.
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
    curves: np.ndarray
    mixed_up: np.ndarray
    boundaries: np.ndarray
    missed: list[MissedByBucket]
    sensitivity: list[Sensitivity]

    @property
    def mean_ap(self) -> np.ndarray:
        """MAP (M,) over the classes that have a segment."""
        return np.nanmean(self.ap, axis=1)

    @property
    def main_tiou(self) -> float:
        """The threshold that pictures are drawn for."""
        return self.tiou_thresholds[self.main]

    def top_mix_ups(self, limit: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions of two classes.

        Args:
            limit (int): At most so many.

        Returns:
            list[tuple[str, str, int]]: True class, detected class, detections.
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
            dict: Fractions of 1, seconds, and counts.
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
            'profile': {
                'kinds': list(KINDS),
                'counts': self.profile.tolist(),
            },
            'normalized_mAP': self.sensitivity[0].overall.tolist(),
            'mAP_if_removed': _by_name(ERROR_KINDS, self.removed),
            'mAP_if_fixed': _by_name(FIXES, self.fixed),
            'missed': {
                table.characteristic: {
                    'buckets': list(table.buckets),
                    'segments': table.total.tolist(),
                    'missed': table.missed.tolist(),
                }
                for table in self.missed
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
                for table in self.sensitivity
            },
            'mixed_up': [
                {'true': true, 'detected': detected, 'detections': count}
                for true, detected, count in self.top_mix_ups(50)
            ],
            'boundary_error_s': boundary_summary(self.boundaries),
            'precision_recall': {
                'recall': RECALL_POINTS.tolist(),
                'mean': np.nanmean(self.curves, axis=1).round(6).tolist(),
                'classes': {
                    self.classes[label]: self.curves[self.main, label].round(6).tolist()
                    for label in present
                },
            },
        }


def diagnose(
    classes: Sequence[str],
    ground_truth: Mapping[str, VideoAnnotation],
    detections: Mapping[str, Detections],
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
    main_tiou: float | None = None,
    background_tiou: float = 0.1,
    edges: CharacteristicEdges = DEFAULT_EDGES,
) -> Diagnosis:
    """Find out what is wrong with detections.

    Args:
        classes (Sequence[str]): Names of the labels 0..K-1.
        ground_truth (Mapping[str, VideoAnnotation]): By video id.
        detections (Mapping[str, Detections]): By video id.
        tiou_thresholds (Sequence[float]): M thresholds.
        main_tiou (float, optional): One of them, for what is not shown for all. None:
            0.5, or the one in the middle if 0.5 is not among them.
        background_tiou (float): Below it a detection has nothing to do with a segment.
        edges (CharacteristicEdges): Buckets that segments are sorted into.

    Returns:
        Diagnosis: The findings.

    Raises:
        ValueError: If ``main_tiou`` is not among the thresholds, ``background_tiou``
            is not in (0, 1), or see :func:`.match_videos`.
    """
    if not 0 < background_tiou < 1:
        raise ValueError(f'background_tiou must be in (0, 1), got {background_tiou}')
    matching = match_videos(ground_truth, detections, len(classes), tiou_thresholds)
    main = _main_row(matching.tiou_thresholds, main_tiou)
    overlaps, bands = best_overlaps(matching), rank_bands(matching)
    rows = range(len(matching.tiou_thresholds))
    kinds = [
        classify_detections(matching, overlaps, row, background_tiou) for row in rows
    ]
    hits = matching.matched != UNMATCHED
    durations = {name: video.duration for name, video in ground_truth.items()}
    characteristics = segment_characteristics(matching, durations, edges)
    return Diagnosis(
        classes=tuple(classes),
        tiou_thresholds=tuple(matching.tiou_thresholds.tolist()),
        main=main,
        ap=average_precision(hits, matching.labels, matching.positives),
        positives=matching.positives,
        num_detections=np.bincount(matching.labels, minlength=len(classes)),
        num_videos=len(matching.video_ids),
        ignored=matching.ignored,
        kinds=np.stack([np.bincount(k, minlength=len(KINDS)) for k in kinds]),
        profile=np.stack([profile(k, bands) for k in kinds]),
        removed=np.stack(
            [mean_ap_if_removed(matching, row, kinds[row]) for row in rows]
        ),
        fixed=np.stack(
            [mean_ap_if_fixed(matching, overlaps, row, kinds[row]) for row in rows]
        ),
        recall=hits.sum(axis=1) / len(matching.truth_labels),
        curves=np.stack([precision_recall(matching, row) for row in rows]),
        mixed_up=mixed_up_classes(matching, overlaps, kinds[main], bands),
        boundaries=boundary_errors(matching, main),
        missed=missed_by_characteristic(matching, characteristics),
        sensitivity=sensitivity_by_characteristic(matching, characteristics),
    )


def boundary_summary(errors: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Median error of the starts and ends of the true positives.

    Args:
        errors (np.ndarray): (H, 2) seconds late.

    Returns:
        dict: For ``start`` and ``end`` the ``median_absolute`` and the ``median``
        error in seconds, positive for late; None without a true positive.
    """
    if not len(errors):
        nothing = {'median_absolute': None, 'median': None}
        return {'start': nothing, 'end': nothing}
    return {
        name: {
            'median_absolute': float(np.median(np.abs(column))),
            'median': float(np.median(column)),
        }
        for name, column in zip(('start', 'end'), errors.T)
    }


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
    return {name: column.tolist() for name, column in zip(names, values.T)}


def _or_none(values: np.ndarray) -> list:
    """Numbers as JSON knows them, which has no NaN."""
    return np.where(np.isnan(values), None, values).tolist()
