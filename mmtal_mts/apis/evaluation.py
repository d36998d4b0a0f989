"""From an annotation file and a detection file of any system to the mAP."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmengine.logging import print_log

from ..evaluation import MeanAPResult, load_detections, mean_average_precision
from ..evaluation.functional.detections import some_names
from ..evaluation.functional.mean_ap import threshold_rows
from ..evaluation.protocols import PROTOCOLS, load_ground_truth
from ..structures import Segments, VideoAnnotation
from ..utils import UserError


@dataclass(frozen=True)
class EvaluationData:
    """Ground truth and detections of the videos to evaluate.

    Attributes:
        classes: Names of the labels.
        ground_truth: By video id.
        detections: By video id.
        tiou_thresholds: At which to evaluate.
        average_over: Those that the average is over.
        protocol: Name of the protocol.
    """

    classes: tuple[str, ...]
    ground_truth: dict[str, VideoAnnotation]
    detections: dict[str, Segments]
    tiou_thresholds: tuple[float, ...]
    average_over: tuple[float, ...]
    protocol: str | None = None

    def evaluate(self) -> MeanAPResult:
        """Computes the mAP at ``tiou_thresholds``."""
        return mean_average_precision(
            {name: video.actions for name, video in self.ground_truth.items()},
            self.detections,
            len(self.classes),
            self.tiou_thresholds,
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
    """Reads both files, and warns of what cannot be evaluated of the detections.

    Args:
        ann_file: Native annotation file; may be gzipped.
        detection_file: Detections in the format of the ActivityNet challenge; may be
            gzipped.
        subset: Subset(s) to evaluate. None: all.
        tiou_thresholds: By default those of the protocol, else 0.3, 0.4, ..., 0.7.
        average_over: By default all of them.
        protocol: Name of one of :data:`.PROTOCOLS`.
        exclude_videos: Videos to leave out besides those of the protocol.
        count_unknown_videos: Detections in videos that are not in the ground truth
            are false positives, as in the code of the ActivityNet challenge, instead
            of left out, as in AFSD.
        on_invalid: What to do about invalid ground-truth segments: 'error', 'clamp',
            'drop' or 'keep'. By default as the protocol does, and 'error' without one.

    Returns:
        What is evaluated.

    Raises:
        UserError: The files have no video in common.
        ValueError: A file or a setting is invalid.
    """
    classes, truth = load_ground_truth(
        os.fspath(ann_file), None, subset, on_invalid, protocol, exclude_videos
    )
    excluded = set(exclude_videos)
    if protocol is not None:
        rules = PROTOCOLS[protocol]
        tiou_thresholds = tiou_thresholds or rules.tiou_thresholds
        excluded |= set(rules.exclude_videos)
        # The counts of the published protocols are of videos with a segment.
        truth = {name: video for name, video in truth.items() if len(video.actions)}
    tiou_thresholds = tuple(tiou_thresholds or (0.3, 0.4, 0.5, 0.6, 0.7))
    average_over = tuple(average_over or tiou_thresholds)
    threshold_rows(tiou_thresholds, average_over)  # checks them
    detections = load_detections(detection_file, classes)
    if not set(truth) & set(detections):
        examples = (next(iter(detections), None), next(iter(truth), None))
        raise UserError(
            f'{detection_file} and {ann_file} have no video in common: the ids are '
            f'e.g. {examples[0]!r} and {examples[1]!r}. Check the subset, and whether '
            'one of them adds a prefix'
        )
    missing = [name for name in truth if name not in detections]
    strange = [
        name
        for name, found in detections.items()
        if len(found) and name not in truth and name not in excluded
    ]
    fate = 'count as false positives' if count_unknown_videos else 'are left out'
    lacking = (
        f'of {len(truth)} videos have no detection, their segments count as missed'
    )
    unknown = f'videos with detections are not in the ground truth, they {fate}'
    for names, problem in ((missing, lacking), (strange, unknown)):
        if names:
            text = f'{len(names)} {problem}: {some_names(names)}'
            print_log(text, logger='current', level=logging.WARNING)
    if count_unknown_videos:
        for name in strange:
            truth[name] = VideoAnnotation(name, '', None, None, None, Segments.empty())
    return EvaluationData(
        classes, truth, detections, tiou_thresholds, average_over, protocol
    )


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Reads tIoU thresholds as a person writes them.

    Args:
        text: ``'0.5'``, ``'0.3,0.5,0.7'``, or ``'FIRST:LAST:STEP'`` with both ends
            included, e.g. ``'0.1:0.7:0.1'``.

    Returns:
        The thresholds.

    Raises:
        ArgumentTypeError: It is neither, or not in (0, 1].
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
        raise argparse.ArgumentTypeError(
            f'tIoU thresholds {text!r}: {error}. Write e.g. 0.3,0.5,0.7, or '
            '0.1:0.7:0.1 for all from 0.1 to 0.7 in steps of 0.1'
        ) from error
    return tuple(values)


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say what is evaluated to the parser of a tool."""
    add = parser.add_argument
    truth_help = 'annotation JSON file, may be gzipped'
    add('ann_file', metavar='ground_truth', help=truth_help)
    found_help = 'detection JSON file, may be gzipped'
    add('detection_file', metavar='predictions', help=found_help)
    add('--subset', nargs='+', help='subsets to evaluate; default: all')
    add(
        '--tious',
        dest='tiou_thresholds',
        type=parse_thresholds,
        metavar='0.1:0.7:0.1',
        help='tIoU thresholds; or 0.3,0.5,0.7',
    )
    add(
        '--protocol',
        choices=sorted(PROTOCOLS),
        help='leave out the videos, and take the thresholds, of published numbers',
    )
    add('--exclude-videos', nargs='+', default=(), help='videos to leave out')
    add(
        '--count-unknown-videos',
        action='store_true',
        help='detections in videos without ground truth are false positives, as in '
        'the code of the ActivityNet challenge',
    )
    add(
        '--on-invalid',
        choices=('error', 'clamp', 'drop', 'keep'),
        help='what to do about ground-truth segments that are invalid (default: what '
        'the protocol does, else error)',
    )


def load_by_arguments(args: argparse.Namespace) -> EvaluationData:
    """:func:`load_evaluation_data` with the arguments of its names."""
    names = inspect.signature(load_evaluation_data).parameters
    return load_evaluation_data(**{k: v for k, v in vars(args).items() if k in names})
