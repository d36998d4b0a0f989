"""Frames of a video file with their times, in one pass and bounded memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from mmtal_mts.structures.timebase import exact_rate

from .frame_clock import FrameClock
from .transforms.loading import length_tolerance_s
from .transforms.video_readers import VideoReadError, upright_rgb


class TimedFrame:
    """A frame, converted to RGB only when somebody looks at it.

    Args:
        time (Fraction): Seconds since the first frame.
        duration (Fraction): Seconds that it stays on screen.
        convert (Callable): Returns the picture (H, W, 3) uint8 RGB.
    """

    def __init__(
        self, time: Fraction, duration: Fraction, convert: Callable[[], np.ndarray]
    ) -> None:
        self.time = time
        self.duration = duration
        self._convert = convert

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright."""
        return self._convert()


class VideoStream:
    """Decodes a video file from its beginning to its end by PyAV.

    Nothing is kept but the frame at hand. What is damaged is left out and told in
    ``warnings`` afterwards.

    Args:
        path (str | os.PathLike): Video file.
        num_threads (int): Decoding threads, 0 lets the library choose.

    Attributes:
        path (str): As given.
        rate (Fraction, optional): Average frame rate, as far as it is known.
        announced_s (float, optional): Duration according to the file's header.
        first_frame_s (float): When players show the first frame; later than 0 if the
            sound begins before it.
        warnings (list[str]): What was wrong with the file, after decoding.

    Raises:
        VideoReadError: If it cannot be opened or has no video stream.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int = 0) -> None:
        import av

        self._av = av
        self.path = os.fspath(path)
        self._num_threads = num_threads
        self.warnings: list[str] = []
        with self._open() as container:
            stream = self._stream(container)
            rate = stream.average_rate or stream.guessed_rate
            self.rate = exact_rate(float(rate)) if rate else None
            self.tick = stream.time_base
            self.announced_s = self._announced_s(container, stream)
            self.first_frame_s = 0.0
            if stream.start_time and container.start_time is not None:
                begin = float(stream.start_time * stream.time_base)
                begin -= container.start_time / self._av.time_base
                self.first_frame_s = max(begin, 0.0)

    def _announced_s(self, container: Any, stream: Any) -> float | None:
        """The longest duration that the header tells; a cut file may tell two."""
        lengths = [0.0]
        if stream.duration and stream.time_base:
            lengths.append(float(stream.duration * stream.time_base))
        elif container.duration:
            lengths.append(container.duration / self._av.time_base)
        if self.rate:
            lengths.append(float(stream.frames / self.rate))
        return max(lengths) or None

    def _open(self) -> Any:
        if not os.path.isfile(self.path):
            raise VideoReadError(f'{self.path}: no such video file')
        try:
            return self._av.open(self.path)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            size = os.path.getsize(self.path)
            reason = 'it is empty' if size == 0 else _one_line(error)
            raise VideoReadError(
                f'{self.path}: cannot be opened as a video ({reason}). Play or '
                're-encode it, for instance by "ffmpeg -i IN -c:v libx264 OUT.mp4"'
            ) from error

    def _stream(self, container: Any) -> Any:
        if not container.streams.video:
            raise VideoReadError(f'{self.path}: has no video stream')
        return container.streams.video[0]

    def frames(self) -> Iterator[TimedFrame]:
        """Yields all frames in presentation order.

        Yields:
            TimedFrame: Valid until the next one is asked for, or for good once its
            ``image`` was looked at.

        Raises:
            VideoReadError: If no frame can be decoded.
        """
        self.warnings = []
        clock = FrameClock(self.rate, self.tick)
        end = None
        with self._open() as container:
            stream = self._stream(container)
            if self._num_threads != 1:
                stream.thread_type = 'AUTO'
                stream.codec_context.thread_count = self._num_threads
            for frame in self._decode(container, stream):
                try:
                    time = clock(frame.pts)
                except ValueError as error:
                    raise VideoReadError(f'{self.path}: {error}') from error
                duration = self._duration(frame, clock)
                end = time + duration
                yield TimedFrame(time, duration, lambda frame=frame: upright_rgb(frame))
        if end is None:
            damage = f' ({self.warnings[0]})' if self.warnings else ''
            raise VideoReadError(f'{self.path}: no frame can be decoded{damage}')
        self._check_length(float(end))

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yields what can be decoded, and counts what cannot."""
        damaged = 0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except self._av.error.FFmpegError as error:
                self.warnings.append(f'reading stopped early: {_one_line(error)}')
                packet = None
            # The last packet of demux() is empty: it empties the decoder.
            try:
                frames = stream.decode(packet)
            except self._av.error.EOFError:
                break
            except self._av.error.FFmpegError:
                damaged += 1
                frames = []
            yield from frames
            if packet is None:
                break
        if damaged:
            self.warnings.append(f'{damaged} damaged packets were left out')

    @staticmethod
    def _duration(frame: Any, clock: FrameClock) -> Fraction:
        """How long a frame stays on screen; matters for the last one."""
        units = getattr(frame, 'duration', None)
        if not clock.regular and units and clock.tick:
            return units * clock.tick
        return 1 / clock.rate if clock.rate else Fraction(1, 25)

    def _check_length(self, end_s: float) -> None:
        announced = self.announced_s
        if announced and announced - end_s > length_tolerance_s(announced):
            self.warnings.append(
                f'ends at {end_s:.2f} s, though its header announces {announced:.2f} s'
            )

    def measure(self) -> Fraction:
        """Reads the whole file without decoding it to find its exact duration.

        Returns:
            Fraction: Seconds.
        """
        count, first, last = 0, None, None
        with self._open() as container:
            for packet in container.demux(self._stream(container)):
                if not packet.size:
                    continue
                count += 1
                if packet.pts is not None:
                    until = packet.pts + (packet.duration or 0)
                    first = packet.pts if first is None else min(first, packet.pts)
                    last = until if last is None else max(last, until)
        if first is not None and self.tick and last > first:
            return (last - first) * self.tick
        if not count or self.rate is None:
            raise VideoReadError(f'{self.path}: its duration is not known')
        return count / self.rate


class ArrayStream:
    """Frames that are in memory already, or made one after another.

    Args:
        frames (Iterable[np.ndarray]): (H, W, 3) uint8 RGB each; an array
            (T, H, W, 3) is one, and so is a generator.
        fps (float): Their rate.

    Raises:
        ValueError: If the rate is not positive.
    """

    def __init__(self, frames: Iterable[np.ndarray], fps: float) -> None:
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f'fps must be positive, got {fps}')
        self._frames = frames
        self.rate = exact_rate(fps)
        length = len(frames) if hasattr(frames, '__len__') else None
        self.announced_s = None if length is None else float(length / self.rate)
        self.first_frame_s = 0.0
        self.warnings: list[str] = []

    def frames(self) -> Iterator[TimedFrame]:
        """Yields all frames; a generator only once.

        Yields:
            TimedFrame: One after another.

        Raises:
            VideoReadError: If there is none, or one is not a picture.
        """
        index = -1
        for index, image in enumerate(self._frames):
            image = np.asarray(image)
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise VideoReadError(
                    f'frame {index} is {image.dtype} {image.shape}, but frames must be '
                    'uint8 RGB pictures (H, W, 3)'
                )
            if not image.size:
                raise VideoReadError(f'frame {index} is empty: {image.shape}')
            yield TimedFrame(
                index / self.rate, 1 / self.rate, lambda image=image: image
            )
        if index < 0:
            raise VideoReadError('there is no frame')

    def measure(self) -> Fraction:
        """The exact duration, where the number of frames is known.

        Returns:
            Fraction: Seconds.

        Raises:
            VideoReadError: For a generator.
        """
        if not hasattr(self._frames, '__len__'):
            raise VideoReadError('the number of frames is not known in advance')
        return len(self._frames) / self.rate


def _one_line(error: Exception) -> str:
    text = getattr(error, 'strerror', None) or str(error).strip()
    return text.split('\n')[0] or type(error).__name__
