"""What is known about a video after inference, and which of it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..structures import Annotations, Segments
from ..utils import UserError
from ..utils.io import atomic_write


@dataclass(frozen=True)
class VideoResult:
    """Detections of one video, and what is needed to show them.

    Attributes:
        video_id: Name of the video.
        detections: By descending score, in seconds since the first frame.
        classes: Names of the labels.
        duration: Seconds.
        path: Video file; None for frames that came as an array.
        ground_truth: Annotated actions in seconds, where they are known.
        warnings: What was wrong with the file.
        first_frame_s: When players show the first frame, in seconds.
    """

    video_id: str
    detections: Segments
    classes: tuple[str, ...]
    duration: float
    path: str | None = None
    ground_truth: Segments | None = None
    warnings: tuple[str, ...] = ()
    first_frame_s: float = 0.0

    def rows(self) -> list[tuple[float, float, str, float]]:
        """Start and end in seconds, class name and score of each detection."""
        found = self.detections
        columns = (found.segments.tolist(), found.labels.tolist(), found.scores)
        return [
            (start, end, self.classes[label], float(score))
            for (start, end), label, score in zip(*columns, strict=True)
        ]

    def with_ground_truth(self, annotations: Annotations) -> VideoResult:
        """Adds the annotated actions of the video, found by its id or file name.

        Args:
            annotations: Of any videos; the classes need not be those of the model.

        Returns:
            The result with them, and with the classes that only the annotations have
            behind those of the model. Unchanged if the video is not annotated.
        """
        names = [self.video_id]
        if self.path is not None:
            names += [Path(self.path).stem, Path(self.path).name]
        by_file = {Path(v.file).name: v for v in annotations.videos.values() if v.file}
        known = {**by_file, **annotations.videos}
        video = next((known[name] for name in names if name in known), None)
        if video is None:
            return self
        extra = [name for name in annotations.classes if name not in self.classes]
        classes = (*self.classes, *extra)
        labels = np.array([classes.index(name) for name in annotations.classes])
        truth = Segments(video.actions.segments, labels[video.actions.labels])
        return replace(self, classes=classes, ground_truth=truth)


@dataclass(frozen=True)
class Selection:
    """Which detections are shown and written.

    Attributes:
        score_thr: Those with lower scores are left out.
        top_k: Only the best of a video, at most this many. None: all.
        classes: Only these. None: all.

    Raises:
        UserError: A setting is out of range.
    """

    score_thr: float = 0.2
    top_k: int | None = 100
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Checks the settings."""
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f'top_k must be at least 1 or None, got {self.top_k}')
        if not 0 <= self.score_thr <= 1:
            raise UserError(f'score_thr must be in 0..1, got {self.score_thr}')

    def check(self, classes: Sequence[str]) -> None:
        """Checks the classes of the selection.

        Args:
            classes: Those of the model.

        Raises:
            UserError: One is unknown.
        """
        unknown = [name for name in self.classes or () if name not in classes]
        if unknown:
            raise UserError(
                f'class {", ".join(map(repr, unknown))} is unknown; the model knows '
                f'{", ".join(classes)}'
            )

    def __call__(self, result: VideoResult) -> VideoResult:
        """The same result with the selected detections only."""
        self.check(result.classes)
        found = result.detections
        keep = found.scores >= self.score_thr
        if self.classes is not None:
            labels = [result.classes.index(name) for name in self.classes]
            keep &= np.isin(found.labels, labels)
        return replace(result, detections=found[keep][: self.top_k])


VIDEO_SUFFIXES = ('.annotated.mp4', '.preview.mp4')
"""Ends of the names of videos that are results; they are no inputs."""


class ResultWriter:
    """Writes the detections of one video into one file.

    Args:
        selection: Which detections are written.
    """

    suffix: str
    """Follows the name of the video in the name of the file."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def write(self, result: VideoResult, path: Path) -> None:
        """Writes the file, whole or not at all.

        Args:
            result: With all detections.
            path: File to write; missing folders are made.
        """
        with atomic_write(path) as temporary:
            self._write(self.selection(result), temporary)

    def _write(self, shown: VideoResult, path: Path) -> None:
        raise NotImplementedError
