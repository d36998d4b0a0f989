"""When each frame of a video is shown, at a constant or a varying frame rate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mmtal_mts.structures.timebase import (
    exact_rate,
    num_sampled_frames,
    source_frame_indices,
)

from .frame_clock import FrameClock


class PacketFacts(NamedTuple):
    """What the container tells of a frame, in units of its time base."""

    pts: int | None
    duration: int | None
    is_key: bool


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """The frames of a video in presentation order, and their times.

    Attributes:
        num_frames (int): Number of frames.
        fps (float): Frame rate; the average one if it varies.
        starts_s (np.ndarray, optional): (num_frames,) seconds since the first frame,
            not decreasing. None if frame i begins at ``i / fps``.
        end_s (float, optional): End of the last frame, with ``starts_s``.
    """

    num_frames: int
    fps: float
    starts_s: np.ndarray | None = None
    end_s: float | None = None

    @property
    def duration_s(self) -> float:
        """float: Seconds from the first frame to the end of the last one."""
        if self.starts_s is None:
            return self.num_frames / self.fps
        return self.end_s

    def start_s(self, index: int) -> float:
        """Returns the seconds at which a frame begins, those after the end with it."""
        if self.starts_s is None:
            return index / self.fps
        return float(self.starts_s[index] if index < self.num_frames else self.end_s)

    def count(self, sample_fps: float) -> int:
        """Counts the complete sampling intervals, at least one.

        Args:
            sample_fps (float): Rate of the sampled grid.

        Returns:
            int: Number of sampled frames.
        """
        if self.starts_s is None:
            return num_sampled_frames(
                sample_fps, num_source_frames=self.num_frames, source_fps=self.fps
            )
        return num_sampled_frames(sample_fps, duration_s=self.end_s)

    def indices(self, first: int, count: int, sample_fps: float) -> np.ndarray:
        """Finds the source frame that stands for each sampled frame.

        Sampled frame k is the last one that begins before ``(k + 1) / sample_fps``:
        for a constant rate that of :func:`.source_frame_indices`.

        Args:
            first (int): First sampled frame k.
            count (int): Number of sampled frames.
            sample_fps (float): Rate of the sampled grid.

        Returns:
            np.ndarray: (count,) int64, not decreasing. Sampled frames that are not
            wholly in the video have indices of frames that are not there.
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

    def shown_at(self, times_s: np.ndarray) -> np.ndarray:
        """Finds the frames that are on screen at some times.

        Args:
            times_s (np.ndarray): (M,) seconds.

        Returns:
            np.ndarray: (M,) int64; the first or last one out of the video.
        """
        if self.starts_s is None:
            found = (np.asarray(times_s) * self.fps).astype(np.int64)
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

    Args:
        stamps (Sequence[int | None]): In any order; None where a frame has none.
        tick (Fraction, optional): Seconds per unit of the stamps.
        rate (Fraction, optional): Average frame rate.
        last_s (Fraction, optional): How long the last frame stays.

    Returns:
        FrameTimes, optional: None if they tell nothing.
    """
    if not stamps or (rate is None and (None in stamps or tick is None)):
        return None
    if None in stamps or tick is None:
        # Without all of them, order and time can only be counted.
        return FrameTimes(len(stamps), float(rate))
    ordered = sorted(stamps)
    if rate is not None and _is_regular(ordered, tick, rate):
        return FrameTimes(len(ordered), float(rate))
    # The clock of inference, so that a network is tested on what it was trained on.
    clock = FrameClock(rate, tick)
    starts = [clock(stamp) for stamp in ordered]
    if last_s is None:
        last_s = 1 / rate if rate else Fraction(1, 25)
    end = starts[-1] + last_s
    fps = float(rate) if rate else float(len(starts) / end)
    return FrameTimes(
        len(starts), fps, np.array([float(start) for start in starts]), float(end)
    )


def _is_regular(stamps: Sequence[int], tick: Fraction, rate: Fraction) -> bool:
    """Whether stamps differ from a constant rate by their rounding only."""
    off = np.array(stamps, dtype=np.float64) - stamps[0]
    expected = np.arange(len(stamps)) / float(rate * tick)
    return bool(np.all(np.abs(off - expected) <= 1 + 1e-6))


def read_frame_times(path: str | os.PathLike) -> FrameTimes | None:
    """Reads the times of all frames from a video file, without decoding it.

    Args:
        path (str | os.PathLike): Video file.

    Returns:
        FrameTimes, optional: None if the file does not tell.

    Raises:
        av.error.FFmpegError: If it is no video file.
    """
    facts = os.stat(path)
    return _read(os.fspath(path), facts.st_mtime_ns, facts.st_size)


# Windows of the same video are asked for again and again, in every epoch.
@lru_cache(maxsize=512)
def _read(path: str, modified: int, size: int) -> FrameTimes | None:
    import av

    with av.open(path) as container:
        if not container.streams.video:
            return None
        stream = container.streams.video[0]
        return times_of_packets(read_packets(container, stream), stream)


def read_packets(container: Any, stream: Any) -> list[PacketFacts]:
    """Reads what an opened file tells of its frames, in decoding order.

    Args:
        container (av.container.InputContainer): Opened file.
        stream (av.VideoStream): Its video.

    Returns:
        list[PacketFacts]: Those that are not empty.
    """
    return [
        PacketFacts(packet.pts, packet.duration, packet.is_keyframe)
        for packet in container.demux(stream)
        if packet.size
    ]


def times_of_packets(packets: Sequence[PacketFacts], stream: Any) -> FrameTimes | None:
    """Makes times from the packets of a video.

    Args:
        packets (Sequence[PacketFacts]): All of them.
        stream (av.VideoStream): Theirs.

    Returns:
        FrameTimes, optional: None if they tell nothing.
    """
    average = stream.average_rate or stream.guessed_rate
    tick = stream.time_base
    rate = exact_rate(float(average)) if average else None
    stamps = [packet.pts for packet in packets]
    last_s = None
    if packets and tick and None not in stamps:
        length = max(packets, key=lambda packet: packet.pts).duration
        last_s = length * tick if length else None
    return times_from_stamps(stamps, tick, rate, last_s)
