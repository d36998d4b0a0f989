"""Results as a picture."""

from __future__ import annotations

from pathlib import Path

from mmtal_mts.visualization import Timeline, draw_timeline

from ..video_strip import read_strip
from .result import VideoResult
from .writer import ResultWriter


class TimelineWriter(ResultWriter):
    """PNG: frames of the video along a time axis, and a row per class."""

    suffix = '.png'

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        shown = self.selection(result)
        frames = []
        if shown.path is not None:
            frames = read_strip(shown.path, shown.duration)
        timeline = Timeline(
            shown.video_id,
            shown.duration,
            shown.detections,
            shown.ground_truth,
            frames,
        )
        draw_timeline(path, timeline, shown.classes, self.selection.score_thr)
