"""The ground truth that a metric compares with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from mmengine.logging import print_log

from mmtal_mts.evaluation.protocols import PROTOCOLS
from mmtal_mts.structures.annotations import VideoAnnotation, load_annotations


@dataclass(frozen=True)
class GroundTruthSource:
    """Where ground truth comes from, and what of it counts.

    Attributes:
        ann_file (str): Native annotation file.
        subsets (Sequence[str], optional): Subsets to evaluate. None: all.
        on_invalid (str): See :func:`.load_annotations`.
        class_agnostic (bool): All labels become 0, the one class is 'action'.
        protocol (str, optional): Name of one of :data:`.PROTOCOLS`: its videos, and
            its way with segments that are not (wholly) in their video.
    """

    ann_file: str
    subsets: Sequence[str] | None = None
    on_invalid: str = 'error'
    class_agnostic: bool = False
    protocol: str | None = None

    def __post_init__(self) -> None:
        if self.protocol is not None and self.protocol not in PROTOCOLS:
            raise ValueError(
                f'protocol={self.protocol!r}: choose from {sorted(PROTOCOLS)}'
            )

    def load(
        self, classes: Sequence[str] | None = None
    ) -> tuple[tuple[str, ...], Mapping[str, VideoAnnotation]]:
        """Reads the ground truth.

        Args:
            classes (Sequence[str], optional): Class names in label order.

        Returns:
            tuple: The class names, and the videos by id.

        Raises:
            ValueError: If the annotation is invalid or holds no segment.
        """
        on_invalid, excluded = self.on_invalid, ()
        if self.protocol is not None:
            on_invalid = PROTOCOLS[self.protocol].on_invalid
            excluded = PROTOCOLS[self.protocol].exclude_videos
        annotations = load_annotations(
            self.ann_file, classes=classes, subsets=self.subsets, on_invalid=on_invalid
        )
        names = tuple(annotations.classes)
        videos = {k: v for k, v in annotations.videos.items() if k not in excluded}
        if self.class_agnostic:
            names = ('action',)
            videos = {
                k: replace(v, labels=np.zeros_like(v.labels)) for k, v in videos.items()
            }
        if not any(len(video.labels) for video in videos.values()):
            raise ValueError(
                f'{self.ann_file}: no segment in the {len(videos)} video(s) '
                f'of subset {self.subsets}; nothing to evaluate'
            )
        self._check_counts(videos)
        return names, videos

    def _check_counts(self, videos: Mapping[str, VideoAnnotation]) -> None:
        if self.protocol is None:
            return
        counts = dict(
            videos=sum(len(video.labels) > 0 for video in videos.values()),
            segments=sum(len(video.labels) for video in videos.values()),
        )
        differences = PROTOCOLS[self.protocol].differences(counts)
        print_log(
            f'protocol {self.protocol}: '
            + (
                differences
                or f'{counts["segments"]} segments in {counts["videos"]} videos'
            ),
            logger='current',
            level=logging.WARNING if differences else logging.INFO,
        )
