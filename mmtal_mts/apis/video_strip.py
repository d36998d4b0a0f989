"""The frames that are shown above the timeline of a video file."""

from __future__ import annotations

import os

from mmtal_mts.datasets.frame_grabber import grab_frames
from mmtal_mts.visualization.film_strip import Frame, shrink_image, strip_times


def read_strip(
    path: str | os.PathLike, duration: float, strip_aspect: float = 16.0
) -> list[Frame]:
    """Read as many frames, evenly spread, as fit next to each other in a strip.

    Args:
        path (str | os.PathLike): Video file, also of varying frame rate.
        duration (float): Length of the video in seconds.
        strip_aspect (float): Width of the strip divided by its height.

    Returns:
        list[tuple[float, np.ndarray]]: Time in seconds, the centre of one of equal
        parts of the video, and the picture (H, W, 3) uint8 RGB on screen there.

    Raises:
        VideoReadError: If it is not a readable video.
    """
    ((_, first),) = grab_frames(path, [0.0])
    times = strip_times(first.shape, duration, strip_aspect)
    return [(time, shrink_image(image)) for time, image in grab_frames(path, times)]
