"""From the raw detections of windows to the detections of a video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
        return self.merge_videos([(windows, duration)])[0]

    def merge_videos(
        self, videos: Iterable[tuple[Iterable[Detections], float | None]]
    ) -> list[Detections]:
        """Detections of several videos, suppressed in one pass.

        Args:
            videos (Iterable[tuple]): Windows and duration of each video, as for
                :meth:`merge`.

        Returns:
            list[Detections]: Of each video, as from :meth:`merge`.
        """
        merged = [self._join(windows, duration) for windows, duration in videos]
        if self.nms is not None:
            merged = self._suppress(merged)
        return [self._best(found) for found in merged]

    def _join(
        self, windows: Iterable[Detections], duration: float | None
    ) -> Detections:
        """The windows of a video together, cut to it."""
        merged = Detections.concatenate(windows)
        if not self.clamp:
            return merged
        limit = np.inf if duration is None else duration
        segments = np.clip(merged.segments, 0.0, limit)
        merged = Detections(segments, merged.scores, merged.labels)
        return merged[segments[:, 1] > segments[:, 0]]

    def _suppress(self, merged: Sequence[Detections]) -> list[Detections]:
        """Soft-NMS of each class of each video."""
        together = Detections.concatenate(merged)
        video = np.repeat(np.arange(len(merged)), [len(found) for found in merged])
        # A label may be UNKNOWN_LABEL, which is -1.
        groups = video * (together.labels.max(initial=0) + 2) + together.labels + 1
        segments, scores, kept = soft_nms_1d(
            together.segments, together.scores, groups, **self.nms
        )
        bounds = np.searchsorted(video[kept], np.arange(len(merged) + 1))
        labels = together.labels[kept]
        return [
            Detections(segments[first:last], scores[first:last], labels[first:last])
            for first, last in zip(bounds[:-1], bounds[1:])
        ]

    def _best(self, found: Detections) -> Detections:
        """The best, by descending score."""
        start, end = found.segments.T
        order = np.lexsort((end, start, found.labels, -found.scores))
        return found[order[: self.max_per_video]]
