"""Results as a picture."""

from __future__ import annotations

from pathlib import Path

from mmtal_mts.datasets.frame_grabber import grab_frames
from mmtal_mts.visualization import Timeline, draw_timeline
from mmtal_mts.visualization.film_strip import shrink_image, strip_times

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
            ((_, first),) = grab_frames(shown.path, [0.0])
            times = strip_times(first.shape, shown.duration)
            frames = [
                (time, shrink_image(image))
                for time, image in grab_frames(shown.path, times)
            ]
        timeline = Timeline(
            shown.video_id,
            shown.duration,
            shown.detections,
            shown.ground_truth,
            frames,
        )
        draw_timeline(path, timeline, shown.classes, self.selection.score_thr)
