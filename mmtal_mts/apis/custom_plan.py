"""Settings of a training that follow from the lengths of the actions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..datasets.windows import training_windows
from ..structures import frames_to_seconds, num_sampled_frames, seconds_to_frames

_FRAME_RATES = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 25.0, 30.0)
_USUAL_FPS = 10.0
_CLIP_LENGTHS = (64, 96, 128, 192, 256, 384, 512)
_FIRST_STRIDE = 4
_MIN_FRAMES = 8
_ITERATIONS = 600


@dataclass(frozen=True)
class TrainingPlan:
    """Settings of a training, and why.

    Attributes:
        sample_fps: Rate at which videos are sampled.
        clip_len: Length of a window in sampled frames.
        num_levels: Levels of the pyramid.
        window_stride: Distance of training windows in sampled frames.
        batch_size: Windows in a batch.
        epochs: Length of the training.
        reasons: One line for each setting.
    """

    sample_fps: float
    clip_len: int
    num_levels: int
    window_stride: int
    batch_size: int
    epochs: int
    reasons: tuple[str, ...]


def plan_training(
    segments: Sequence[np.ndarray],
    durations: Sequence[float],
    source_fps: float,
    epochs: int | None = None,
) -> TrainingPlan:
    """Chooses settings for the training videos.

    Args:
        segments: (G, 2) actions of each video in seconds.
        durations: Seconds of each video.
        source_fps: Lowest frame rate of the videos.
        epochs: Length of the training, if it is given.

    Returns:
        The settings.

    Raises:
        ValueError: There is no action.
    """
    lengths = np.concatenate([np.diff(s, axis=1)[:, 0] for s in segments])
    if not len(lengths):
        raise ValueError('plan_training: no action to train on')
    short, usual, long = np.quantile(lengths, [0.1, 0.5, 0.95])
    longest = lengths.max()
    fps, why_fps = _frame_rate(short, longest, source_fps)
    longest_f = seconds_to_frames(longest, fps)

    # Longer than the longest video is nothing but padding.
    needed_s = min(max(1.5 * long, 1.05 * longest), max(durations))
    needed = seconds_to_frames(needed_s, fps)
    clip_len = next((n for n in _CLIP_LENGTHS if n >= needed), _CLIP_LENGTHS[-1])
    why_clip = (
        f'holds the longest action ({longest_f:.0f} frames) and what surrounds the '
        'usual ones'
        if clip_len >= needed
        else f'the largest; the longest action has {longest_f:.0f} frames'
    )

    # Each level halves the one before without a rest.
    positions = clip_len // _FIRST_STRIDE
    most = (positions & -positions).bit_length()
    fitting = 1 + math.floor(math.log2(max(longest_f / _FIRST_STRIDE, 1)))
    levels = min(max(fitting, 3), most)

    stride = clip_len // 4
    windows = 0
    for own, duration in zip(segments, durations, strict=True):
        frames = num_sampled_frames(fps, duration_s=duration)
        inside = np.clip(seconds_to_frames(own, fps), 0, frames)
        if len(own):
            windows += len(training_windows(frames, inside, clip_len, stride))
    batch = int(np.clip(round(4 * 128 / clip_len), 1, 8))
    batch = max(1, min(batch, windows // 4))
    iterations = max(windows // batch, 1)
    why_epochs = f'as asked for, {iterations} iterations each'
    if epochs is None:
        epochs = int(np.clip(math.ceil(_ITERATIONS / iterations), 5, 100))
        why_epochs = f'about {_ITERATIONS} iterations of {iterations} each epoch'
    reasons = (
        f'{len(lengths)} actions of {lengths.min():.2f} to {longest:.2f} s, half of '
        f'them up to {usual:.2f} s',
        f'sample_fps {fps:g}: {why_fps}',
        f'clip_len {clip_len} ({frames_to_seconds(clip_len, fps):.1f} s): {why_clip}',
        f'num_levels {levels}: locations every {_FIRST_STRIDE} to '
        f'{_FIRST_STRIDE * 2 ** (levels - 1)} frames, for actions of '
        f'{seconds_to_frames(short, fps):.0f} to {longest_f:.0f} frames',
        f'batch_size {batch}: as many frames as 4 windows of 128, from {windows} '
        'training windows',
        f'epochs {epochs}: {why_epochs}',
    )
    return TrainingPlan(fps, clip_len, levels, stride, batch, epochs, reasons)


def _frame_rate(short: float, longest: float, source_fps: float) -> tuple[float, str]:
    """The rate at which short actions have enough frames and long ones fit."""
    possible = [rate for rate in _FRAME_RATES if rate <= source_fps + 0.1] or [1.0]
    enough = [
        rate
        for rate in possible
        if rate >= _USUAL_FPS and seconds_to_frames(short, rate) >= _MIN_FRAMES
    ]
    fps = enough[0] if enough else possible[-1]
    slower = [
        rate
        for rate in possible
        if seconds_to_frames(1.05 * longest, rate) <= _CLIP_LENGTHS[-1]
    ]
    if fps in slower:
        frames = seconds_to_frames(short, fps)
        return fps, f'a short action ({short:.2f} s) has {frames:.0f} frames'
    fps = slower[-1] if slower else possible[0]
    return fps, (
        f'the longest action ({longest:.0f} s) has '
        f'{seconds_to_frames(longest, fps):.0f} frames and fits into a window of '
        f'{_CLIP_LENGTHS[-1]}'
    )
