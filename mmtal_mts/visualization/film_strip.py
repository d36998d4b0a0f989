"""A few frames of a video, to be shown above its timeline."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Frame = tuple[float, np.ndarray]
"""A time in seconds and the picture (H, W, 3) there, uint8, RGB."""


def strip_times(
    frame_shape: Sequence[int], duration: float, strip_aspect: float = 16.0
) -> np.ndarray:
    """Times of the frames of a strip.

    Args:
        frame_shape (Sequence[int]): Height and width of a frame, first.
        duration (float): Length of the video in seconds.
        strip_aspect (float): Width of the strip divided by its height.

    Returns:
        np.ndarray: Seconds, the centres of equal parts of the video.
    """
    height, width = frame_shape[:2]
    count = int(np.clip(round(strip_aspect * height / width), 4, 32))
    return (np.arange(count) + 0.5) * duration / count


def clip_frames(
    clip: np.ndarray, sample_fps: float, strip_aspect: float = 16.0
) -> list[Frame]:
    """Pick as many frames of a clip, evenly spread, as fit in a strip.

    Args:
        clip (np.ndarray): (C, T, H, W) uint8: three channels are RGB, two are optical
            flow, shown as red and green.
        sample_fps (float): Frames per second of the clip.
        strip_aspect (float): Width of the strip divided by its height.

    Returns:
        list[tuple[float, np.ndarray]]: Time in the clip and frame (H, W, 3), uint8,
        RGB.
    """
    channels, length, height, width = clip.shape
    count = int(np.clip(round(strip_aspect * height / width), 1, length))
    positions = (np.arange(count) + 0.5) * length / count
    images = clip[:, positions.astype(int)].transpose(1, 2, 3, 0)
    if channels == 2:
        images = np.concatenate([images, np.full_like(images[..., :1], 127)], axis=-1)
    return [(float(f / sample_fps), image) for f, image in zip(positions, images)]


def shrink_image(image: np.ndarray, max_height: int = 180) -> np.ndarray:
    """Scale an image down to a height, keeping its aspect ratio.

    Args:
        image (np.ndarray): (H, W, 3) uint8.
        max_height (int): Pixels; smaller images stay as they are.

    Returns:
        np.ndarray: The image, smaller or as it was.
    """
    height, width = image.shape[:2]
    if height <= max_height:
        return image
    size = (max(1, round(width * max_height / height)), max_height)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
