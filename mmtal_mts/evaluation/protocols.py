"""Named ways in which published numbers were computed, and their ground truth."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mmengine.logging import print_log

from ..structures import VideoAnnotation, load_annotations

_THUMOS14 = (0.3, 0.4, 0.5, 0.6, 0.7)
_ACTIVITYNET = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True)
class EvaluationProtocol:
    """What is evaluated, and at which thresholds.

    Attributes:
        tiou_thresholds: Thresholds whose mAP is averaged.
        exclude_videos: Videos that are left out.
        num_videos: Number of videos of the published numbers.
        num_segments: Number of their segments.
        on_invalid: What to do about segments that are not (wholly) in their video,
            see :func:`mmtal_mts.structures.load_annotations`.
    """

    tiou_thresholds: tuple[float, ...]
    exclude_videos: tuple[str, ...] = ()
    num_videos: int | None = None
    num_segments: int | None = None
    on_invalid: str = 'keep'


PROTOCOLS: Mapping[str, EvaluationProtocol] = MappingProxyType(
    {
        # Test videos with a segment of the 20 classes: 212 in the official files.
        'thumos14': EvaluationProtocol(_THUMOS14, num_videos=212, num_segments=3358),
        'thumos14-afsd': EvaluationProtocol(
            _THUMOS14,
            ('video_test_0000270', 'video_test_0001292', 'video_test_0001496'),
            210,
            3311,
        ),
        # Without the four segments of other videos that end behind their video.
        'thumos14-opentad': EvaluationProtocol(
            _THUMOS14, ('video_test_0000270',), 211, 3325, on_invalid='drop'
        ),
        'activitynet': EvaluationProtocol(_ACTIVITYNET),
    }
)
"""By name. 'thumos14' is that of ActionFormer."""


def load_ground_truth(
    ann_file: str,
    classes: Sequence[str] | None = None,
    subsets: str | Sequence[str] | None = None,
    on_invalid: str | None = None,
    protocol: str | None = None,
    exclude_videos: Collection[str] = (),
    class_agnostic: bool = False,
) -> tuple[tuple[str, ...], dict[str, VideoAnnotation]]:
    """Reads the ground truth that detections are compared with.

    Args:
        ann_file: Native annotation file.
        classes: Class names in label order. None: those of the file.
        subsets: Subset(s) to evaluate. None: all.
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
    rules = EvaluationProtocol(()) if protocol is None else PROTOCOLS[protocol]
    if on_invalid is None:
        on_invalid = 'error' if protocol is None else rules.on_invalid
    annotations = load_annotations(ann_file, classes, subsets, on_invalid)
    names, videos = tuple(annotations.classes), annotations.videos
    strange = sorted(set(exclude_videos) - set(videos))
    if strange:
        raise ValueError(f'{ann_file}: the excluded video(s) {strange} are not there')
    excluded = {*exclude_videos, *rules.exclude_videos}
    videos = {name: video for name, video in videos.items() if name not in excluded}
    if class_agnostic:
        names = ('action',)
        videos = {
            name: replace(
                video, actions=replace(video.actions, labels=0 * video.actions.labels)
            )
            for name, video in videos.items()
        }
    num_segments = sum(len(video.actions) for video in videos.values())
    if not num_segments:
        raise ValueError(
            f'{ann_file}: no segment in the {len(videos)} video(s) of subset '
            f'{subsets}; nothing to evaluate'
        )
    if protocol is not None:
        num_videos = sum(len(video.actions) > 0 for video in videos.values())
        text = f'protocol {protocol}: {num_segments} segments in {num_videos} videos'
        expected = (rules.num_videos, rules.num_segments)
        differs = None not in expected and (num_videos, num_segments) != expected
        if differs:
            text += (
                f', but published numbers rest on {expected[1]} in {expected[0]}: '
                'both are not on the same scale'
            )
        level = logging.WARNING if differs else logging.INFO
        print_log(text, logger='current', level=level)
    return names, videos
