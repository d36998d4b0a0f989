"""Conversions between the time units of the project.

Units: ``_s`` seconds of the video, ``_f`` positions on the grid of sampled frames
(fractional allowed), source frames (integers, 0-based, as the decoder counts them).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Union

import numpy as np

ArrayLike = Union[float, np.ndarray]

# Relative distance up to which a measured rate counts as the fraction it is close to.
# Float32 frame rates, as some decoders report them, are off by up to 6e-8.
_RATE_TOLERANCE = 1e-7
# Slack in sampled frames for durations that are sums of floats, e.g. 29.999999999.
_COUNT_TOLERANCE = 1e-6


def _check_rate(value: float, name: str) -> float:
    value = float(value)
    if not (np.isfinite(value) and value > 0):
        raise ValueError(
            f'{name} must be a positive number of frames per second, got {value}'
        )
    return value


def exact_rate(fps: float) -> Fraction:
    """Finds the fraction that a measured rate stands for.

    Args:
        fps (float): Positive rate.

    Returns:
        Fraction: 29.97003 becomes 30000/1001.
    """
    simple = Fraction(fps).limit_denominator(1001)
    if abs(float(simple) - fps) <= _RATE_TOLERANCE * fps:
        return simple
    return Fraction(fps).limit_denominator(10**6)


def frames_to_seconds(frames_f: ArrayLike, sample_fps: float) -> ArrayLike:
    """Converts positions on the sampled grid to seconds of the video.

    Args:
        frames_f (float | np.ndarray): Sampled frames, any shape.
        sample_fps (float): Rate of the sampled grid.

    Returns:
        float | np.ndarray: Seconds, same shape.

    Raises:
        ValueError: If the rate is not positive and finite.
    """
    return frames_f / _check_rate(sample_fps, 'sample_fps')


def seconds_to_frames(seconds_s: ArrayLike, sample_fps: float) -> ArrayLike:
    """Converts seconds of the video to positions on the sampled grid.

    Args:
        seconds_s (float | np.ndarray): Seconds, any shape.
        sample_fps (float): Rate of the sampled grid.

    Returns:
        float | np.ndarray: Sampled frames (fractional), same shape.

    Raises:
        ValueError: If the rate is not positive and finite.
    """
    return seconds_s * _check_rate(sample_fps, 'sample_fps')


def num_sampled_frames(
    sample_fps: float,
    *,
    duration_s: float | None = None,
    num_source_frames: int | None = None,
    source_fps: float | None = None,
) -> int:
    """Counts the complete sampling intervals of a video, at least one.

    Give either ``duration_s``, or ``num_source_frames`` with ``source_fps``.

    Args:
        sample_fps (float): Rate of the sampled grid.
        duration_s (float, optional): Length of the video in seconds.
        num_source_frames (int, optional): Length of the video in source frames.
        source_fps (float, optional): Frame rate of the source.

    Returns:
        int: Number of sampled frames.

    Raises:
        ValueError: If the length is missing, given twice, or not positive.
    """
    sample_fps = _check_rate(sample_fps, 'sample_fps')
    if (duration_s is None) == (num_source_frames is None):
        raise ValueError('Give exactly one of duration_s and num_source_frames')
    if duration_s is not None:
        if not (np.isfinite(duration_s) and duration_s > 0):
            raise ValueError(f'duration_s must be positive, got {duration_s}')
        count = int(np.floor(duration_s * sample_fps + _COUNT_TOLERANCE))
    else:
        if num_source_frames <= 0:
            raise ValueError(
                f'num_source_frames must be positive, got {num_source_frames}'
            )
        if source_fps is None:
            raise ValueError('num_source_frames needs source_fps')
        source_fps = _check_rate(source_fps, 'source_fps')
        ratio = exact_rate(sample_fps) / exact_rate(source_fps)
        count = int(num_source_frames * ratio)
    return max(count, 1)


def source_frame_indices(
    first: int,
    count: int,
    source_fps: float,
    sample_fps: float,
    total_source_frames: int | None = None,
) -> np.ndarray:
    """Finds the source frame that stands for each sampled frame.

    Sampled frame k is source frame ``ceil((k + 1) * source_fps / sample_fps) - 1``,
    the last one of the k-th sampling interval: 30 fps sampled at 10 fps gives
    2, 5, 8, ... The arithmetic is rational, so no rounding error shifts a frame.

    Args:
        first (int): First sampled frame k.
        count (int): Number of sampled frames.
        source_fps (float): Frame rate of the source.
        sample_fps (float): Rate of the sampled grid.
        total_source_frames (int, optional): If given, indices are clamped to the
            last existing source frame; a caller that must know whether the video
            is long enough leaves it out and compares by itself.

    Returns:
        np.ndarray: (count,) int64, not decreasing.

    Raises:
        ValueError: If a rate is not positive, or ``first`` or ``count`` is negative.
    """
    source_fps = _check_rate(source_fps, 'source_fps')
    sample_fps = _check_rate(sample_fps, 'sample_fps')
    if first < 0 or count < 0:
        raise ValueError(
            f'first and count must not be negative, got first={first}, count={count}'
        )
    # Bounded so that the product below stays within int64.
    ratio = (exact_rate(source_fps) / exact_rate(sample_fps)).limit_denominator(10**9)
    ends = np.arange(first + 1, first + count + 1, dtype=np.int64)
    indices = -(-(ends * ratio.numerator) // ratio.denominator) - 1
    indices = np.maximum(indices, 0)
    if total_source_frames is not None:
        indices = np.minimum(indices, total_source_frames - 1)
    return indices
