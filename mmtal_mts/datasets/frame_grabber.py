"""The frames that are on screen at given times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .transforms.video_readers import VideoReadError, upright_rgb

_SEEK_FROM_S = 8.0
"""Up to this distance, decoding on is cheaper than seeking."""


def grab_frames(
    path: str | os.PathLike, times: Sequence[float]
) -> list[tuple[float, np.ndarray]]:
    """Decodes single frames by their time stamps, of any, also varying, frame rate.

    Args:
        path (str | os.PathLike): Video file.
        times (Sequence[float]): Seconds since the first frame, in any order.

    Returns:
        list[tuple[float, np.ndarray]]: Time asked for and picture (H, W, 3) uint8
        RGB, upright, by ascending time. At times after the end it is the last frame.

    Raises:
        VideoReadError: If nothing can be decoded.
    """
    import av

    found = []
    try:
        with av.open(os.fspath(path)) as container:
            cursor = _Cursor(container, container.streams.video[0])
            for time in sorted(float(time) for time in times):
                found.append((time, upright_rgb(cursor.at(time))))
    except (av.error.FFmpegError, IndexError, StopIteration) as error:
        if not found:
            raise VideoReadError(f'{path}: no frame can be decoded') from error
    return found


class _Cursor:
    """Moves forward through a video, decoding or seeking.

    Args:
        container (av.container.InputContainer): Opened file.
        stream (av.VideoStream): Its video.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        stream.thread_type = 'AUTO'
        self._frames = container.decode(stream)
        self._current = self._next = next(self._frames)
        self._start = self._current.pts
        self._index = 0
        self._advance()

    def _time(self, frame: Any) -> float:
        if frame.pts is None or self._start is None:
            return self._index / float(self._stream.average_rate or 25)
        return float((frame.pts - self._start) * self._stream.time_base)

    def _advance(self) -> None:
        self._current = self._next
        self._next = next(self._frames, None)
        self._index += 1

    def at(self, time: float) -> Any:
        """The last frame that begins not after a time."""
        if self._next is not None and time - self._time(self._next) > _SEEK_FROM_S:
            self._seek(time)
        while self._next is not None and self._time(self._next) <= time:
            self._advance()
        return self._current

    def _seek(self, time: float) -> None:
        """Goes to the key frame before a time, where time stamps allow it."""
        if self._start is None:
            return
        target = self._start + int(time / self._stream.time_base)
        self._container.seek(target, stream=self._stream, backward=True)
        self._frames = self._container.decode(self._stream)
        self._next = next(self._frames, None)
        if self._next is not None:
            self._advance()
