"""From the frames of a video to overlapping windows, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from mmtal_mts.structures.timebase import exact_rate, num_sampled_frames

from .video_stream import TimedFrame

T = TypeVar('T')


class FrameSampler:
    """Brings frames of any, also varying, rate to the rate of the network.

    Sampled frame k is the last one before ``(k + 1) / sample_fps`` seconds: for a
    constant frame rate that of :func:`.source_frame_indices`.

    Args:
        frames (Iterable[TimedFrame]): In the order of their times.
        sample_fps (float): Sampled frames per second.

    Attributes:
        duration (float): Seconds up to the end of the last frame; exact once all
            frames were taken.
    """

    def __init__(self, frames: Iterable[TimedFrame], sample_fps: float) -> None:
        self._frames = frames
        self.sample_fps = sample_fps
        self.duration = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the pictures (H, W, 3) of sampled frames 0, 1, ..."""
        interval = 1 / exact_rate(self.sample_fps)
        count, current = 0, None
        for frame in self._frames:
            if current is not None:
                while frame.time >= (count + 1) * interval:
                    yield current.image
                    count += 1
            current = frame
            self.duration = float(frame.time + frame.duration)
        if current is None:
            return
        total = num_sampled_frames(self.sample_fps, duration_s=self.duration)
        for _ in range(count, total):
            yield current.image


def sliding_windows(
    frames: Iterable[T], clip_len: int, stride: int
) -> Iterator[tuple[int, list[T]]]:
    """Cuts frames into windows, without knowing how many will come.

    The windows are those of :func:`.window_offsets`: one at each multiple of the
    stride and one flush with the end. Not more than ``clip_len`` frames are held.

    Args:
        frames (Iterable): Sampled frames.
        clip_len (int): Frames per window.
        stride (int): Distance of consecutive windows in frames.

    Yields:
        tuple[int, list]: Offset and frames; fewer than ``clip_len`` only if there
        are no more in all.

    Raises:
        ValueError: If a length is not positive.
    """
    if clip_len < 1 or stride < 1:
        raise ValueError(
            f'clip_len and stride must be positive, got {clip_len} and {stride}'
        )
    held: deque = deque(maxlen=clip_len)
    count = 0
    for frame in frames:
        held.append(frame)
        count += 1
        offset = count - clip_len
        if offset >= 0 and offset % stride == 0:
            yield offset, list(held)
    offset = max(count - clip_len, 0)
    if count and (count < clip_len or offset % stride):
        yield offset, list(held)


def run_ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """Makes items in a thread of their own, up to ``depth`` of them in advance.

    Args:
        items (Iterable): Consumed in the thread. What it raises is raised here.
        depth (int): So many finished items wait at most.

    Yields:
        The items, in order.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=max(depth, 1))
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                waiting.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put('item', item):
                    return
            put('end', None)
        # Whatever it is, it belongs to the one who waits for the items.
        except BaseException as error:
            put('error', error)

    thread = threading.Thread(target=produce, name='decoding', daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == 'end':
                return
            if kind == 'error':
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
