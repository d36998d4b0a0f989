"""The mAP for many settings of the suppression, from one run of the network."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmtal_mts.apis.evaluation import EvaluationData
from mmtal_mts.evaluation.functional.mean_ap import MeanAPResult
from mmtal_mts.evaluation.functional.merge import WindowMerger
from mmtal_mts.evaluation.functional.windows import load_windows, merge_videos
from mmtal_mts.structures.annotations import load_annotations
from mmtal_mts.utils import UserError


@dataclass(frozen=True)
class SweepRow:
    """One setting and what it gives.

    Attributes:
        nms (dict, optional): Settings of :func:`mmtal_mts.ops.soft_nms_1d`; None for
            no suppression.
        result (MeanAPResult): The mAP.
    """

    nms: dict[str, Any] | None
    result: MeanAPResult


def nms_settings(
    methods: Sequence[str] = ('gaussian', 'linear', 'hard'),
    sigmas: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    iou_thresholds: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    min_scores: Sequence[float] = (0.001,),
) -> list[dict[str, Any] | None]:
    """All settings to try.

    Args:
        methods (Sequence[str]): Of 'gaussian', 'linear', 'hard' and 'none'.
        sigmas (Sequence[float]): For 'gaussian'.
        iou_thresholds (Sequence[float]): For 'linear' and 'hard'.
        min_scores (Sequence[float]): For all but 'none'.

    Returns:
        list[dict | None]: Arguments of :func:`mmtal_mts.ops.soft_nms_1d`; None for
        'none'.

    Raises:
        UserError: If a method is unknown or a value unusable.
    """
    settings: list[dict[str, Any] | None] = []
    for method in methods:
        if method == 'none':
            settings.append(None)
            continue
        name = 'sigma' if method == 'gaussian' else 'iou_threshold'
        values = sigmas if method == 'gaussian' else iou_thresholds
        settings += [
            {'method': method, name: value, 'min_score': min_score}
            for value, min_score in itertools.product(values, min_scores)
        ]
    for nms in settings:
        try:
            WindowMerger(nms)
        except ValueError as error:
            raise UserError(str(error)) from error
    return settings


def sweep_nms(
    ann_file: str | os.PathLike,
    windows_file: str | os.PathLike,
    settings: Iterable[dict[str, Any] | None],
    *,
    subset: str | Sequence[str] | None = None,
    tiou_thresholds: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7),
    max_per_video: int | None = None,
    on_invalid: str = 'error',
) -> Iterator[SweepRow]:
    """Merge the windows with each of the settings, and evaluate.

    Args:
        ann_file (str | os.PathLike): Native annotation file.
        windows_file (str | os.PathLike): Raw detections, see :func:`.dump_windows`.
        settings (Iterable[dict | None]): See :func:`nms_settings`.
        subset (str | Sequence[str], optional): Subset(s) to evaluate. None: all.
        tiou_thresholds (Sequence[float]): Thresholds of the mAP.
        max_per_video (int, optional): Keep the best so many of a video. None: all.
        on_invalid (str): What to do about invalid ground-truth segments.

    Yields:
        SweepRow: In the order of the settings.

    Raises:
        UserError: If the files have no video in common.
        ValueError: If a file is invalid.
    """
    videos, classes = load_windows(windows_file)
    annotations = load_annotations(os.fspath(ann_file), classes, subset, on_invalid)
    if not set(videos) & set(annotations.videos):
        raise UserError(f'{windows_file} and {ann_file} have no video in common')
    thresholds = tuple(tiou_thresholds)
    for nms in settings:
        merger = WindowMerger(nms, max_per_video=max_per_video)
        data = EvaluationData(
            classes,
            annotations.videos,
            merge_videos(videos, merger),
            thresholds,
            thresholds,
        )
        yield SweepRow(nms, data.evaluate())


def best_row(rows: Sequence[SweepRow]) -> SweepRow:
    """The setting with the highest average mAP; the first of equal ones.

    Args:
        rows (Sequence[SweepRow]): At least one.

    Returns:
        SweepRow: The best.
    """
    return rows[int(np.argmax([row.result.average() for row in rows]))]
