"""From the raw detections of windows to the detections of a video."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mmtal_mts.ops import soft_nms_1d

from .detections import Detections


class WindowMerger:
    """Join the windows of one video and remove what was found several times.

    Args:
        nms (dict, optional): Settings of :func:`mmtal_mts.ops.soft_nms_1d`, which
            runs for each class by itself: ``method``, ``sigma``, ``iou_threshold``,
            ``min_score``, ``max_keep`` (per class). None keeps every detection.
        clamp (bool): Cut segments to the video, and drop those of which nothing is
            left.
        max_per_video (int, optional): Keep only so many detections of a video, the
            best. None keeps all.

    Raises:
        ValueError: If a setting is unknown or unusable.
    """

    def __init__(
        self,
        nms: dict | None = None,
        clamp: bool = True,
        max_per_video: int | None = None,
    ) -> None:
        if max_per_video is not None and max_per_video < 1:
            raise ValueError(f'max_per_video must be >= 1 or None, got {max_per_video}')
        self.nms = None if nms is None else dict(nms)
        self.clamp = clamp
        self.max_per_video = max_per_video
        if self.nms is not None:
            # An unusable setting should stop a run at its start, not at its end.
            try:
                soft_nms_1d(np.zeros((0, 2)), np.zeros(0), **self.nms)
            except TypeError as error:
                raise ValueError(f'nms={self.nms}: {error}') from error

    def merge(
        self, windows: Iterable[Detections], duration: float | None = None
    ) -> Detections:
        """Detections of one video from those of its windows.

        Args:
            windows (Iterable[Detections]): In seconds of the video.
            duration (float, optional): Length of the video in seconds. None: where
                the video ends is not known, and ends are not cut.

        Returns:
            Detections: By descending score; equal scores by label, start and end.
        """
        merged = Detections.concatenate(windows)
        if self.clamp:
            limit = np.inf if duration is None else duration
            segments = np.clip(merged.segments, 0.0, limit)
            merged = Detections(segments, merged.scores, merged.labels)
            merged = merged[segments[:, 1] > segments[:, 0]]
        if self.nms is not None:
            merged = Detections.concatenate(
                self._suppress(merged[merged.labels == label], int(label))
                for label in np.unique(merged.labels)
            )
        start, end = merged.segments.T
        order = np.lexsort((end, start, merged.labels, -merged.scores))
        return merged[order[: self.max_per_video]]

    def _suppress(self, found: Detections, label: int) -> Detections:
        """Soft-NMS of the detections of one class."""
        segments, scores, _ = soft_nms_1d(found.segments, found.scores, **self.nms)
        return Detections(segments, scores, np.full(len(scores), label))
