"""What is known about a video after inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmtal_mts.evaluation.functional.detections import Detections
from mmtal_mts.utils import UserError


@dataclass(frozen=True)
class GroundTruth:
    """Annotated actions of a video.

    Attributes:
        segments (np.ndarray): (G, 2) seconds.
        labels (np.ndarray): (G,) index into the classes of the result.
    """

    segments: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class VideoResult:
    """Detections of one video, and what is needed to show them.

    Attributes:
        video_id (str): Name of the video.
        detections (Detections): By descending score, in seconds since the first
            frame.
        classes (tuple[str, ...]): Names of the labels.
        duration (float): Seconds.
        path (str, optional): Video file; None for frames that came as an array.
        ground_truth (GroundTruth, optional): Where it is known.
        warnings (tuple[str, ...]): What was wrong with the file.
        first_frame_s (float): When players show the first frame, in seconds.
    """

    video_id: str
    detections: Detections
    classes: tuple[str, ...]
    duration: float
    path: str | None = None
    ground_truth: GroundTruth | None = None
    warnings: tuple[str, ...] = ()
    first_frame_s: float = 0.0

    def rows(self) -> list[tuple[float, float, str, float]]:
        """Start and end in seconds, class name and score of each detection."""
        found = self.detections
        return [
            (start, end, self.classes[label], score)
            for (start, end), label, score in zip(
                found.segments.tolist(), found.labels.tolist(), found.scores.tolist()
            )
        ]


@dataclass(frozen=True)
class Selection:
    """Which detections are shown and written.

    Attributes:
        score_thr (float): Those with lower scores are left out.
        top_k (int, optional): The best so many of a video. None: all.
        classes (tuple[str, ...], optional): Only these. None: all.
    """

    score_thr: float = 0.2
    top_k: int | None = 100
    classes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f'top_k must be at least 1 or None, got {self.top_k}')
        if not 0 <= self.score_thr <= 1:
            raise UserError(f'score_thr must be in 0..1, got {self.score_thr}')

    def check(self, classes: Sequence[str]) -> None:
        """Complains about classes that do not exist.

        Args:
            classes (Sequence[str]): Those that do.

        Raises:
            UserError: If one is unknown.
        """
        unknown = [name for name in self.classes or () if name not in classes]
        if unknown:
            raise UserError(
                f'class {", ".join(map(repr, unknown))} is unknown; the model knows '
                f'{", ".join(classes)}'
            )

    def __call__(self, result: VideoResult) -> VideoResult:
        """Returns the same result with the selected detections only.

        Args:
            result (VideoResult): With all detections.

        Returns:
            VideoResult: With fewer.
        """
        self.check(result.classes)
        found = result.detections
        keep = found.scores >= self.score_thr
        if self.classes is not None:
            labels = [result.classes.index(name) for name in self.classes]
            keep &= np.isin(found.labels, labels)
        return replace(result, detections=found[keep][: self.top_k])
