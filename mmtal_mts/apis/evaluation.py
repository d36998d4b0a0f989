"""From an annotation file and a detection file of any system to the mAP."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.logging import print_log

from mmtal_mts.evaluation.functional.detections import (
    UNKNOWN_LABEL,
    Detections,
    count_labels,
    load_detections,
)
from mmtal_mts.evaluation.functional.mean_ap import (
    MeanAPResult,
    mean_average_precision,
    threshold_rows,
)
from mmtal_mts.evaluation.protocols import PROTOCOLS
from mmtal_mts.structures.annotations import VideoAnnotation, load_annotations
from mmtal_mts.utils import UserError

_MAX_NAMED = 5


@dataclass(frozen=True)
class EvaluationData:
    """Ground truth and detections of the videos to evaluate.

    Attributes:
        classes (tuple[str, ...]): Names of the labels.
        ground_truth (dict[str, VideoAnnotation]): By video id.
        detections (dict[str, Detections]): By video id.
        tiou_thresholds (tuple[float, ...]): At which to evaluate.
        average_over (tuple[float, ...]): Those that the average is over.
        protocol (str, optional): Name of the protocol.
    """

    classes: tuple[str, ...]
    ground_truth: dict[str, VideoAnnotation]
    detections: dict[str, Detections]
    tiou_thresholds: tuple[float, ...]
    average_over: tuple[float, ...]
    protocol: str | None = None

    def evaluate(self) -> MeanAPResult:
        """Compute the mAP.

        Returns:
            MeanAPResult: At ``tiou_thresholds``.
        """
        return mean_average_precision(
            self.ground_truth, self.detections, len(self.classes), self.tiou_thresholds
        )


def load_evaluation_data(
    ann_file: str | os.PathLike,
    detection_file: str | os.PathLike,
    *,
    subset: str | Sequence[str] | None = None,
    tiou_thresholds: Sequence[float] | None = None,
    average_over: Sequence[float] | None = None,
    protocol: str | None = None,
    exclude_videos: Sequence[str] = (),
    count_unknown_videos: bool = False,
    on_invalid: str | None = None,
) -> EvaluationData:
    """Read both files, and say what of the detections cannot be evaluated.

    Args:
        ann_file (str | os.PathLike): Native annotation file; may be gzipped.
        detection_file (str | os.PathLike): Detections in the format of the
            ActivityNet challenge; may be gzipped.
        subset (str | Sequence[str], optional): Subset(s) to evaluate. None: all.
        tiou_thresholds (Sequence[float], optional): By default those of the
            protocol, else 0.3, 0.4, ..., 0.7.
        average_over (Sequence[float], optional): By default all of them.
        protocol (str, optional): Name of one of :data:`.PROTOCOLS`.
        exclude_videos (Sequence[str]): Videos to leave out besides those of the
            protocol.
        count_unknown_videos (bool): Detections in videos that are not in the ground
            truth are false positives, as in the code of the ActivityNet challenge,
            instead of left out, as in AFSD.
        on_invalid (str, optional): What to do about invalid ground-truth segments:
            'error', 'clamp', 'drop' or 'keep'. By default as the protocol does, and
            'error' without one.

    Returns:
        EvaluationData: What is evaluated.

    Raises:
        UserError: If the protocol is unknown, an excluded video is not there, or the
            files have no video in common.
        ValueError: If a file is invalid.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise UserError(f'protocol {protocol!r}: choose from {", ".join(PROTOCOLS)}')
    if on_invalid is None:
        on_invalid = 'error' if protocol is None else PROTOCOLS[protocol].on_invalid
    annotations = load_annotations(
        os.fspath(ann_file), subsets=subset, on_invalid=on_invalid
    )
    truth = annotations.videos
    strange = sorted(set(exclude_videos) - set(truth))
    if strange:
        raise UserError(f'{ann_file}: the excluded video(s) {strange} are not there')
    excluded = set(exclude_videos)
    if protocol is not None:
        tiou_thresholds = tiou_thresholds or PROTOCOLS[protocol].tiou_thresholds
        excluded |= set(PROTOCOLS[protocol].exclude_videos)
    truth = {name: video for name, video in truth.items() if name not in excluded}
    if protocol is not None:
        # The counts of the published protocols are of videos with a segment.
        truth = {name: video for name, video in truth.items() if len(video.labels)}
        _check_protocol(protocol, truth)
    tiou_thresholds = tuple(tiou_thresholds or (0.3, 0.4, 0.5, 0.6, 0.7))
    average_over = tuple(average_over or tiou_thresholds)
    threshold_rows(tiou_thresholds, average_over)  # checks them
    detections = load_detections(detection_file, annotations.classes)
    strange = _compare_videos(ann_file, detection_file, truth, detections)
    strange = [name for name in strange if name not in excluded]
    if strange:
        _warn(
            f'{len(strange)} videos with detections are not in the ground truth, they '
            f'{"count as false positives" if count_unknown_videos else "are left out"}'
            f': {_names(strange)}'
        )
    if count_unknown_videos:
        truth.update((name, _without_action(name)) for name in strange)
    _warn_of_classes(detection_file, annotations.classes, detections)
    return EvaluationData(
        annotations.classes, truth, detections, tiou_thresholds, average_over, protocol
    )


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Read tIoU thresholds as a person writes them.

    Args:
        text (str): ``'0.5'``, ``'0.3,0.5,0.7'``, or ``'FIRST:LAST:STEP'`` with both
            ends included, e.g. ``'0.1:0.7:0.1'``.

    Returns:
        tuple[float, ...]: The thresholds.

    Raises:
        UserError: If it is neither, or not in (0, 1].
    """
    try:
        if ':' in text:
            first, last, step = (float(part) for part in text.split(':'))
            if not (step > 0 and first <= last):
                raise ValueError('the step is not positive or the range is empty')
            count = int(np.floor((last - first) / step + 1e-6)) + 1
            values = [round(first + step * index, 10) for index in range(count)]
        else:
            values = [float(part) for part in text.split(',')]
        if not all(0 < value <= 1 for value in values):
            raise ValueError('not in (0, 1]')
    except ValueError as error:
        raise UserError(
            f'tIoU thresholds {text!r}: {error}. Write e.g. 0.3,0.5,0.7, or '
            '0.1:0.7:0.1 for all from 0.1 to 0.7 in steps of 0.1'
        ) from error
    return tuple(values)


def _compare_videos(
    ann_file: str | os.PathLike,
    detection_file: str | os.PathLike,
    truth: dict[str, VideoAnnotation],
    detections: dict[str, Detections],
) -> list[str]:
    """Tell about videos without detection; return those without ground truth."""
    if not set(truth) & set(detections):
        examples = (next(iter(truth), None), next(iter(detections), None))
        raise UserError(
            f'{detection_file} and {ann_file} have no video in common: the ids are '
            f'e.g. {examples[1]!r} and {examples[0]!r}. Check the subset, and whether '
            'one of them adds a prefix'
        )
    missing = [name for name in truth if name not in detections]
    if missing:
        _warn(
            f'{len(missing)} of {len(truth)} videos have no detection, their segments '
            f'count as missed: {_names(missing)}'
        )
    return [name for name, found in detections.items() if found and name not in truth]


def _without_action(video_id: str) -> VideoAnnotation:
    """Ground truth in which every detection is a false positive."""
    return VideoAnnotation(
        video_id, '', None, None, None, np.zeros((0, 2)), np.zeros(0, dtype=np.int64)
    )


def _check_protocol(protocol: str, truth: dict[str, VideoAnnotation]) -> None:
    """Tell if the ground truth is not that of the published numbers."""
    num_segments = sum(len(video.labels) for video in truth.values())
    differences = PROTOCOLS[protocol].differences(
        {'videos': len(truth), 'segments': num_segments}
    )
    if differences:
        _warn(f'protocol {protocol}: {differences}')


def _warn_of_classes(
    detection_file: str | os.PathLike,
    classes: Sequence[str],
    detections: dict[str, Detections],
) -> None:
    """Tell about detections of classes that the annotation does not know."""
    if any((found.labels == UNKNOWN_LABEL).any() for found in detections.values()):
        counts = count_labels(detection_file)
        unknown = [name for name in counts if name not in classes]
        number = sum(counts[name] for name in unknown)
        _warn(
            f'{number} detections are of classes that the annotation does not know, '
            f'they are left out: {_names(unknown)}'
        )


def _names(names: Sequence[str]) -> str:
    """Some of the names, and how many more there are."""
    more = f' and {len(names) - _MAX_NAMED} more' if len(names) > _MAX_NAMED else ''
    return ', '.join(map(str, names[:_MAX_NAMED])) + more


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
