"""Conversions between the time units of the project.

Units: ``_s`` seconds of the video, ``_f`` positions on the grid of sampled frames
(fractional allowed), source frames (integers, 0-based, as the decoder counts them).
Functions that take values take numbers, numpy arrays and torch tensors alike; rates
must be positive and finite, else they raise a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

# Numbers, numpy arrays or torch tensors.
Values = TypeVar('Values')

# Relative distance up to which a measured rate counts as the fraction it is close to.
# Float32 frame rates, as some decoders report them, are off by up to 6e-8.
_RATE_TOLERANCE = 1e-7
# Slack in sampled frames for durations that are sums of floats, e.g. 29.999999999.
_COUNT_TOLERANCE = 1e-6
# No picture stays for an hour, and frames are not far out of order.
_MAX_GAP_S, _MAX_STEP_BACK_S = 3600, 10


def _check_rate(value: float, name: str) -> float:
    if not 0 < value < np.inf:
        raise ValueError(
            f'{name} must be a positive number of frames per second, got {value}'
        )
    return float(value)


def exact_rate(fps: float) -> Fraction:
    """Finds the fraction that a measured rate stands for: 30000/1001 for 29.97003."""
    simple = Fraction(fps).limit_denominator(1001)
    is_close = abs(float(simple) - fps) <= _RATE_TOLERANCE * fps
    return simple if is_close else Fraction(fps).limit_denominator(10**6)


def length_tolerance_s(duration_s: float) -> float:
    """By how much a source may miss its annotated duration: one second, or 2 %."""
    return max(1.0, 0.02 * duration_s)


def mean_rate(num_frames: int, duration_s: float) -> float:
    """Frames per second of a video of which number of frames and length are known."""
    return num_frames / duration_s


def frames_to_seconds(frames_f: Values, sample_fps: float) -> Values:
    """Converts positions on the sampled grid to seconds of the video.

    Args:
        frames_f: Sampled frames, any shape.
        sample_fps: Rate of the sampled grid.
    """
    return frames_f / _check_rate(sample_fps, 'sample_fps')


def seconds_to_frames(seconds_s: Values, sample_fps: float) -> Values:
    """Converts seconds of the video to positions (fractional) on the sampled grid.

    Args:
        seconds_s: Seconds, any shape.
        sample_fps: Rate of the sampled grid.
    """
    return seconds_s * _check_rate(sample_fps, 'sample_fps')


def window_to_video_s(
    frames_f: Values, window_offset: float, sample_fps: float
) -> Values:
    """Converts positions in a window to seconds of its video.

    Args:
        frames_f: Sampled frames from the beginning of the window, any shape.
        window_offset: First sampled frame of the window in the video.
        sample_fps: Rate of the sampled grid.
    """
    return frames_to_seconds(frames_f + window_offset, sample_fps)


def num_sampled_frames(sample_fps: float, duration_s: float) -> int:
    """Counts the complete sampling intervals of a video, at least one.

    Args:
        sample_fps: Rate of the sampled grid.
        duration_s: Length of the video in seconds.

    Raises:
        ValueError: If a value is not positive and finite.
    """
    if not 0 < duration_s < np.inf:
        raise ValueError(f'duration_s must be positive, got {duration_s}')
    counted = seconds_to_frames(duration_s, sample_fps) + _COUNT_TOLERANCE
    return max(int(np.floor(counted)), 1)


def source_frame_indices(
    first: int, count: int, source_fps: float, sample_fps: float
) -> np.ndarray:
    """Finds the source frame that stands for each sampled frame.

    Sampled frame k is source frame ``ceil((k + 1) * source_fps / sample_fps) - 1``,
    the last one of the k-th sampling interval: 30 fps sampled at 10 fps gives
    2, 5, 8, ... The arithmetic is rational, so no rounding error shifts a frame.

    Args:
        first: First sampled frame k.
        count: Number of sampled frames.
        source_fps: Frame rate of the source.
        sample_fps: Rate of the sampled grid.

    Returns:
        (count,) int64, not decreasing; frames after the end of the video included.

    Raises:
        ValueError: If ``first`` or ``count`` is negative.
    """
    if first < 0 or count < 0:
        raise ValueError(
            f'first and count must not be negative, got first={first}, count={count}'
        )
    source_rate = exact_rate(_check_rate(source_fps, 'source_fps'))
    rate = exact_rate(_check_rate(sample_fps, 'sample_fps'))
    # Bounded so that the product below stays within int64.
    ratio = (source_rate / rate).limit_denominator(10**9)
    ends = np.arange(first + 1, first + count + 1, dtype=np.int64)
    indices = -(-(ends * ratio.numerator) // ratio.denominator) - 1
    return np.maximum(indices, 0)


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """The frames of a video in presentation order, and when each is shown.

    Attributes:
        num_frames: Number of frames.
        fps: Frame rate; the average one if it varies.
        starts_s: (num_frames,) seconds since the first frame, not decreasing. None if
            frame i begins at ``i / fps``.
        end_s: End of the last frame, with ``starts_s``.
    """

    num_frames: int
    fps: float
    starts_s: np.ndarray | None = None
    end_s: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        if self.starts_s is None:
            return frames_to_seconds(self.num_frames, self.fps)
        return self.end_s

    def start_s(self, index: int) -> float:
        """The seconds at which a frame begins; those after the end begin with it."""
        if self.starts_s is None:
            return frames_to_seconds(index, self.fps)
        return float(self.starts_s[index] if index < self.num_frames else self.end_s)

    def count(self, sample_fps: float) -> int:
        """Counts the complete sampling intervals, at least one."""
        if self.starts_s is None:
            if self.num_frames <= 0:
                raise ValueError(f'num_frames must be positive, got {self.num_frames}')
            rate = exact_rate(_check_rate(sample_fps, 'sample_fps'))
            source_rate = exact_rate(_check_rate(self.fps, 'fps'))
            return max(int(self.num_frames * rate / source_rate), 1)
        return num_sampled_frames(sample_fps, self.end_s)

    def indices(self, first: int, count: int, sample_fps: float) -> np.ndarray:
        """Finds the source frames of sampled ones as :func:`source_frame_indices` does.

        Where the rate varies, sampled frame k is the last one that begins before
        ``(k + 1) / sample_fps``. Sampled frames that are not wholly in the video have
        indices of frames that do not exist.
        """
        if self.starts_s is None:
            return source_frame_indices(first, count, self.fps, sample_fps)
        rate = exact_rate(sample_fps)
        numbers = np.arange(first + 1, first + count + 1, dtype=np.float64)
        ends_s = numbers * rate.denominator / rate.numerator
        found = np.searchsorted(self.starts_s, ends_s, side='left') - 1
        # Rounding of a duration must not count as a frame.
        beyond = np.ceil((ends_s - self.end_s) * self.fps - 1e-6)
        return np.maximum(found, 0) + np.maximum(beyond, 0).astype(np.int64)

    def shown_at(self, times_s: Sequence[float] | np.ndarray) -> np.ndarray:
        """Finds the (M,) frames on screen at (M,) seconds; the nearest out of video."""
        times_s = np.asarray(times_s, dtype=np.float64)
        if self.starts_s is None:
            found = seconds_to_frames(times_s, self.fps).astype(np.int64)
        else:
            found = np.searchsorted(self.starts_s, times_s, side='right') - 1
        return np.clip(found, 0, self.num_frames - 1)


def times_from_stamps(
    stamps: Sequence[int | None],
    tick: Fraction | None,
    rate: Fraction | None,
    last_s: Fraction | None = None,
) -> FrameTimes | None:
    """Makes times from the time stamps of all frames.

    At a constant frame rate, time stamps are rounded to the container's tick. As long
    as they agree with the rate, the exact time ``index / rate`` is taken; from the
    first one that disagrees on, the time stamps alone count.

    Args:
        stamps: In any order; None where a frame has none.
        tick: Seconds per unit of the stamps.
        rate: Average frame rate.
        last_s: How long the last frame stays.

    Returns:
        None if they tell nothing.
    """
    if not stamps or (rate is None and (None in stamps or tick is None)):
        return None
    if None in stamps or tick is None:
        # Without all of them, order and time can only be counted.
        return FrameTimes(len(stamps), float(rate))
    off = np.sort(np.array(stamps, dtype=np.int64))
    off -= off[0]
    numbers = np.arange(len(off))
    starts = off * tick.numerator / tick.denominator
    end = Fraction(int(off[-1])) * tick
    if rate is not None:
        exact = numbers * rate.denominator / rate.numerator
        irregular = np.flatnonzero(np.abs(off - exact / float(tick)) > 1 + 1e-6)
        if not len(irregular):
            return FrameTimes(len(off), float(rate))
        starts[: irregular[0]] = exact[: irregular[0]]
        starts = np.maximum.accumulate(starts)
    end += last_s if last_s is not None else 1 / (rate or Fraction(25))
    fps = float(rate or len(off) / end)
    return FrameTimes(len(off), fps, starts, float(end))


def unwrap_stamps(
    stamps: Sequence[int],
    decoding_stamps: Sequence[int],
    tick: Fraction,
    rate: Fraction | None,
) -> list[int]:
    """Lets time stamps go on where their counter wrapped or began anew.

    Args:
        stamps: When frames are shown, in decoding order.
        decoding_stamps: When they are decoded, which hardly ever goes back.
        tick: Seconds per unit of the stamps.
        rate: Average frame rate.

    Returns:
        As many stamps, equal to the given ones if there is no such place.
    """
    steps = np.diff(np.array(decoding_stamps, dtype=np.int64))
    seconds = steps * float(tick)
    step = max(round(1 / (rate * tick)), 1) if rate else 1
    jumps = (seconds > _MAX_GAP_S) | (seconds < -_MAX_STEP_BACK_S)
    values = np.array(stamps, dtype=np.int64)
    values[1:] += np.cumsum(np.where(jumps, step - steps, 0))
    return values.tolist()
