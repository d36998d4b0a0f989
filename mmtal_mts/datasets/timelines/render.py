"""From the plan of a timeline to its frames and annotations."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from mmtal_mts.datasets.frame_times import FrameTimes
from mmtal_mts.datasets.transforms.video_readers import (
    VideoReadError,
    available_backends,
    open_video,
)

from .clips import Clip
from .layout import Part, Timeline, TimelineSettings

_MEDIAN_FRAMES = 40
"""The median of so many frames, evenly spaced, is the background of a clip."""


class Rendered(NamedTuple):
    """What one part adds to a timeline.

    Attributes:
        frames: (T, size, size, 3) uint8 RGB.
        actions: Start, end (seconds of the part) and label of each action. A start
            below 0 is in frames that the parts right before have shown.
    """

    frames: np.ndarray
    actions: list[tuple[float, float, str]]


def render(timeline: Timeline, settings: TimelineSettings) -> Iterator[Rendered]:
    """Renders the parts of a timeline one after the other.

    Args:
        timeline: The plan.
        settings: Settings of the set.

    Yields:
        The parts in order; one is in memory at a time.

    Raises:
        VideoReadError: If a clip cannot be read, or an action is not in it.
    """
    for index, part in enumerate(timeline.parts):
        frames, times = read_clip(part.clip)
        if settings.clip_fps:
            times = FrameTimes(times.num_frames, settings.clip_fps)
        if part.background_s is None:
            yield _clip_part(part, frames, times, settings)
        else:
            name = zlib.crc32(timeline.name.encode())
            noise = np.random.default_rng([settings.seed, name, index])
            yield Rendered(_background(part, frames, settings, noise), [])


def read_clip(clip: Clip) -> tuple[np.ndarray, FrameTimes]:
    """Reads all frames of a clip, (T, H, W, 3) uint8 RGB, and when they are shown."""
    try:
        reader = open_video(clip.path, available_backends()[0])
        times = reader.times()
        frames = list(reader.read(np.arange(reader.num_frames)))
    # Each library has exceptions of its own.
    except Exception as error:
        raise VideoReadError(
            f'{clip.path}: cannot be decoded ({error}). Replace the file, or take the '
            'clip out of the list'
        ) from error
    if times is None:
        raise VideoReadError(f'{clip.path}: the file does not tell its frame rate')
    if not frames:
        raise VideoReadError(f'{clip.path}: no frame could be decoded')
    if times.starts_s is None:  # the end of a damaged file is missing
        times = FrameTimes(len(frames), times.fps)
    return np.stack(frames), times


def letterbox(frame: np.ndarray, size: int) -> np.ndarray:
    """Fits a frame (H, W, 3) into a black square of ``size`` pixels."""
    height, width = frame.shape[:2]
    scale = size / max(height, width)
    new = (max(round(width * scale), 1), max(round(height * scale), 1))
    fitted = cv2.resize(frame, new, interpolation=cv2.INTER_AREA)
    square = np.zeros((size, size, 3), np.uint8)
    top, left = (size - new[1]) // 2, (size - new[0]) // 2
    square[top : top + new[1], left : left + new[0]] = fitted
    return square


def _clip_part(
    part: Part, frames: np.ndarray, shown: FrameTimes, settings: TimelineSettings
) -> Rendered:
    duration = shown.duration_s
    skipped_s = shown.start_s(part.skip_frames)
    count = max(round((duration - skipped_s) * settings.fps), 0)
    # Each frame shows the middle of its interval, so rates may differ.
    times = skipped_s + (np.arange(count) + 0.5) / settings.fps
    chosen = np.minimum(shown.shown_at(times), len(frames) - 1)
    last_s = skipped_s + count / settings.fps if count else duration
    actions = []
    for start, end, label in part.clip.actions:
        if start >= last_s:
            raise VideoReadError(
                f'{part.clip.path}: the action {label} begins at {start:.2f} s, but '
                f'the clip has only {duration:.2f} s'
            )
        actions.append((start - skipped_s, min(end, last_s) - skipped_s, label))
    pictures = np.empty((count, settings.size, settings.size, 3), np.uint8)
    for place, i in enumerate(chosen):
        pictures[place] = letterbox(frames[i], settings.size)
    return Rendered(pictures, actions)


def _background(
    part: Part,
    frames: np.ndarray,
    settings: TimelineSettings,
    rng: np.random.Generator,
) -> np.ndarray:
    """The median of a clip, with the noise that its still pixels have."""
    picked = np.linspace(0, len(frames) - 1, min(len(frames), _MEDIAN_FRAMES))
    sample = np.stack([letterbox(frames[int(i)], settings.size) for i in picked])
    still = np.median(sample, axis=0)
    # Most pixels are still in most frames: their median deviation is the noise of
    # the sensor. Without it, a frozen picture would give the background away.
    deviation = np.abs(sample.astype(np.float32) - still)
    noise = 1.4826 * float(np.median(deviation[:, still.sum(axis=2) > 0]))
    count = max(round(part.background_s * settings.fps), 1)
    field = rng.normal(0.0, max(noise, 0.5), size=(count, *still.shape))
    return np.clip(np.rint(still + field), 0, 255).astype(np.uint8)
