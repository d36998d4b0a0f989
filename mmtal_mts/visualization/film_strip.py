"""A few frames of a video, to be shown above its timeline."""

from __future__ import annotations

import os

import cv2
import numpy as np

from ..datasets.video import VideoReader
from ..structures import frames_to_seconds

Frame = tuple[float, np.ndarray]
"""A time in seconds and the picture (H, W, 3) there, uint8, RGB."""


def read_strip(
    path: str | os.PathLike, duration_s: float, strip_aspect: float = 16.0
) -> list[Frame]:
    """Reads as many frames, evenly spread, as fit next to each other in a strip.

    Args:
        path: Video file, also of varying frame rate.
        duration_s: Length of the video.
        strip_aspect: Width of the strip divided by its height.

    Returns:
        Times, the centres of equal parts of the video, and the pictures on screen
        there.

    Raises:
        VideoReadError: It is not a readable video.
    """
    reader = VideoReader(path)
    try:
        height, width = reader.at(0.0).shape[:2]
        count = int(np.clip(round(strip_aspect * height / width), 4, 32))
        strip = []
        for time in (np.arange(count) + 0.5) * duration_s / count:
            # One at a time: large pictures are scaled down before the next is read.
            strip.append((float(time), shrink_image(reader.at(time))))
        return strip
    finally:
        reader.close()


def clip_frames(
    clip: np.ndarray, sample_fps: float, strip_aspect: float = 16.0
) -> list[Frame]:
    """Picks as many frames of a clip, evenly spread, as fit in a strip.

    Args:
        clip: (C, T, H, W) uint8: three channels are RGB, two are optical flow, shown
            as red and green. Features (C, T) have no pictures.
        sample_fps: Frames per second of the clip.
        strip_aspect: Width of the strip divided by its height.

    Returns:
        Times in the clip and pictures.
    """
    if clip.ndim == 2:
        return []
    channels, length, height, width = clip.shape
    count = int(np.clip(round(strip_aspect * height / width), 1, length))
    positions = (np.arange(count) + 0.5) * length / count
    images = clip[:, positions.astype(int)].transpose(1, 2, 3, 0)
    if channels == 2:
        images = np.concatenate([images, np.full_like(images[..., :1], 127)], axis=-1)
    times = frames_to_seconds(positions, sample_fps)
    return list(zip(times.tolist(), images, strict=True))


def shrink_image(image: np.ndarray, max_height: int = 180) -> np.ndarray:
    """Scales an image (H, W, 3) uint8 down to a height, keeping its aspect ratio."""
    height, width = image.shape[:2]
    if height <= max_height:
        return image
    size = (max(1, round(width * max_height / height)), max_height)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
