"""What is evaluated: ground truth, detections, and the rules of published numbers."""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from mmengine.logging import print_log

from ..structures import Segments, VideoAnnotation, load_annotations
from ..structures.annotations import ON_INVALID
from ..utils import UserError
from .functional.detections import load_detections, warn_of
from .functional.mean_ap import MeanAPResult, mean_average_precision

_THUMOS14 = (0.3, 0.4, 0.5, 0.6, 0.7)
_ACTIVITYNET = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class EvaluationProtocol:
    """What is evaluated, and at which thresholds.

    Attributes:
        tiou_thresholds: Thresholds whose mAP is averaged.
        exclude_videos: Videos that are left out.
        counts: Numbers of the videos and of their segments that published numbers
            rest on.
        on_invalid: What to do about segments that are not (wholly) in their video,
            see :func:`mmtal_mts.structures.load_annotations`.
    """

    tiou_thresholds: tuple[float, ...]
    exclude_videos: tuple[str, ...] = ()
    counts: tuple[int, int] | None = None
    on_invalid: str = 'keep'


PROTOCOLS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {
        # Test videos with a segment of the 20 classes: 212 in the official files.
        'thumos14': EvaluationProtocol(_THUMOS14, counts=(212, 3358)),
        'thumos14-afsd': EvaluationProtocol(
            _THUMOS14,
            ('video_test_0000270', 'video_test_0001292', 'video_test_0001496'),
            (210, 3311),
        ),
        # Without the four segments of other videos that end behind their video.
        'thumos14-opentad': EvaluationProtocol(
            _THUMOS14, ('video_test_0000270',), (211, 3325), on_invalid='drop'
        ),
        'activitynet': EvaluationProtocol(_ACTIVITYNET),
    }
)
"""By name. 'thumos14' is that of ActionFormer."""

_NO_PROTOCOL = EvaluationProtocol(_THUMOS14, on_invalid='error')


def load_ground_truth(
    ann_file: str | os.PathLike,
    classes: Sequence[str] | None = None,
    subset: str | Sequence[str] | None = None,
    on_invalid: str | None = None,
    protocol: str | None = None,
    exclude_videos: Collection[str] = (),
    class_agnostic: bool = False,
) -> tuple[tuple[str, ...], dict[str, VideoAnnotation]]:
    """Reads the ground truth that detections are compared with.

    Args:
        ann_file: Native annotation file; may be gzipped.
        classes: Class names in label order. None: those of the file.
        subset: Subset(s) to evaluate. None: all.
        on_invalid: See :func:`mmtal_mts.structures.load_annotations`. None: as the
            protocol does, and 'error' without one.
        protocol: Name of one of :data:`PROTOCOLS`. The number of its videos and
            segments is logged, with a warning if the published ones differ.
        exclude_videos: Videos to leave out besides those of the protocol.
        class_agnostic: All labels become 0, the one class is 'action'.

    Returns:
        The class names, and the videos by id.

    Raises:
        ValueError: The protocol is unknown, an excluded video is not there, or the
            annotation is invalid or holds no segment.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise ValueError(f'protocol={protocol!r}: choose from {sorted(PROTOCOLS)}')
    rules = PROTOCOLS.get(protocol, _NO_PROTOCOL)
    annotations = load_annotations(
        os.fspath(ann_file), classes, subset, on_invalid or rules.on_invalid
    )
    names, videos = tuple(annotations.classes), annotations.videos
    strange = sorted(set(exclude_videos) - set(videos))
    if strange:
        raise ValueError(f'{ann_file}: the excluded video(s) {strange} are not there')
    excluded = {*exclude_videos, *rules.exclude_videos}
    videos = {name: video for name, video in videos.items() if name not in excluded}
    if class_agnostic:
        names = ('action',)
        for name, video in videos.items():
            actions = replace(video.actions, labels=0 * video.actions.labels)
            videos[name] = replace(video, actions=actions)
    num_segments = sum(len(video.actions) for video in videos.values())
    if not num_segments:
        where = f'{len(videos)} video(s) of subset {subset}'
        raise ValueError(f'{ann_file}: no segment in the {where}; nothing to evaluate')
    if protocol is not None:
        counts = sum(len(video.actions) > 0 for video in videos.values()), num_segments
        text = f'protocol {protocol}: {counts[1]} segments in {counts[0]} videos'
        level = logging.INFO
        if rules.counts not in (None, counts):
            level, published = logging.WARNING, '{1} in {0}'.format(*rules.counts)
            text += f', but published numbers rest on {published}: not the same scale'
        print_log(text, logger='current', level=level)
    return names, videos


class EvaluationData(NamedTuple):
    """Class names, ground truth and detections by video id, and tIoU thresholds."""

    classes: Sequence[str]
    ground_truth: Mapping[str, VideoAnnotation]
    detections: Mapping[str, Segments]
    tiou_thresholds: Sequence[float]

    def evaluate(self) -> MeanAPResult:
        """Computes the mAP."""
        truth = {name: video.actions for name, video in self.ground_truth.items()}
        return mean_average_precision(
            truth, self.detections, len(self.classes), self.tiou_thresholds
        )


def load_evaluation_data(
    ann_file: str | os.PathLike,
    detection_file: str | os.PathLike,
    *,
    tiou_thresholds: Sequence[float] | None = None,
    count_unknown_videos: bool = False,
    **options: Any,
) -> EvaluationData:
    """Reads both files, and warns of what cannot be evaluated of the detections.

    Args:
        ann_file: See :func:`load_ground_truth`.
        detection_file: Detections in the format of the ActivityNet challenge; may be
            gzipped.
        tiou_thresholds: By default those of the protocol, else 0.3, 0.4, ..., 0.7.
        count_unknown_videos: Detections in videos that are not in the ground truth
            are false positives, as in the code of the ActivityNet challenge, instead
            of left out, as in AFSD.
        **options: Others of :func:`load_ground_truth`. Of a protocol only those videos
            count that have a segment.

    Returns:
        What is evaluated.

    Raises:
        UserError: The files have no video in common.
        ValueError: A file or a setting is invalid.
    """
    classes, truth = load_ground_truth(ann_file, **options)
    rules = PROTOCOLS.get(options.get('protocol'), _NO_PROTOCOL)
    if rules is not _NO_PROTOCOL:
        truth = {name: video for name, video in truth.items() if len(video.actions)}
    detections = load_detections(detection_file, classes)
    if not set(truth) & set(detections):
        first, second = (next(iter(videos), None) for videos in (detections, truth))
        raise UserError(
            f'{detection_file} and {ann_file} have no video in common: ids are e.g. '
            f'{first!r} and {second!r}. Check the subset, and whether one adds a prefix'
        )
    missing = [name for name in truth if name not in detections]
    known = {*truth, *options.get('exclude_videos', ()), *rules.exclude_videos}
    strange = [name for name, f in detections.items() if len(f) and name not in known]
    fate = 'count as false positives' if count_unknown_videos else 'are left out'
    text = f'of {len(truth)} videos have no detection, their segments count as missed'
    warn_of(missing, text)
    warn_of(strange, f'videos with detections are not in the ground truth, they {fate}')
    if count_unknown_videos:
        for name in strange:
            truth[name] = VideoAnnotation(name, '', None, None, None, Segments.empty())
    thresholds = tuple(tiou_thresholds or rules.tiou_thresholds)
    return EvaluationData(classes, truth, detections, thresholds)


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
        values = [float(part) for part in re.split('[:,]', text)]
        if ':' in text:
            first, last, step = values
            if not (step > 0 and first <= last):
                raise ValueError('the step is not positive or the range is empty')
            count = int((last - first) / step + 1e-6) + 1
            values = [round(first + step * index, 10) for index in range(count)]
        if not all(0 < value <= 1 for value in values):
            raise ValueError('not in (0, 1]')
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'tIoU thresholds {text!r}: {error}. Write e.g. 0.3,0.5,0.7, or, for all '
            'from 0.1 to 0.7 in steps of 0.1, 0.1:0.7:0.1'
        ) from error
    return tuple(values)


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of :func:`load_evaluation_data` to the parser of a tool."""
    add, text = parser.add_argument, 'JSON file, may be gzipped'
    add('ann_file', metavar='ground_truth', help=f'annotation {text}')
    add('detection_file', metavar='predictions', help=f'detection {text}')
    add('--subset', nargs='+', help='subsets to evaluate; default: all')
    add(
        '--tious',
        dest='tiou_thresholds',
        type=parse_thresholds,
        metavar='0.1:0.7:0.1',
        help='tIoU thresholds; or 0.3,0.5,0.7',
    )
    text = 'leave out the videos, and take the thresholds, of published numbers'
    add('--protocol', choices=sorted(PROTOCOLS), help=text)
    add('--exclude-videos', nargs='+', default=(), help='videos to leave out')
    text = 'detections in videos without ground truth are false positives, as in the '
    text += 'code of the ActivityNet challenge'
    add('--count-unknown-videos', action='store_true', help=text)
    text = 'what to do about ground-truth segments that are invalid (default: what the '
    text += 'protocol does, else error)'
    add('--on-invalid', choices=ON_INVALID, help=text)
