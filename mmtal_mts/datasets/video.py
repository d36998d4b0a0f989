"""Reading videos by exact frame numbers and times.

Frame i is the i-th frame in presentation order. Frames are upright (rotation flags
applied) arrays (H, W, 3) of uint8 RGB.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, takewhile
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..structures.timebase import FrameTimes, length_tolerance_s
from .video_file import (
    VideoReadError,
    one_line,
    open_video,
    scan_video,
    write_video,
)

__all__ = ['ArrayReader', 'VideoReadError', 'VideoReader', 'write_video']

Prepare = Callable[[np.ndarray], np.ndarray]

# Up to this distance in frames, decoding on is cheaper than seeking.
_SEEK_FROM = 64
# Open files that a process got from its parent by being forked. Closing one would
# wait for decoding threads that are not there.
_INHERITED: list[Any] = []
# Older PyAV takes no number of threads for the conversion of a frame.
_HAS_THREADS = 'threads' in (av.VideoFrame.reformat.__doc__ or '')


class _Reader:
    """What readers have in common: times, and frames that are kept for a while."""

    path: str
    num_frames: int | None
    times: FrameTimes
    announced_s: float | None = None
    first_frame_s: float = 0.0

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._kept: dict[Prepare | None, dict[int, np.ndarray]] = {}

    @property
    def fps(self) -> float:
        """Frame rate; the average one if it varies."""
        return self.times.fps

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self.times.duration_s

    def read(
        self, indices: Sequence[int] | np.ndarray, prepare: Prepare | None = None
    ) -> list[np.ndarray]:
        """Reads frames, for ascending calls without decoding one twice.

        The frames of a call are kept until the next one, which may share them. They
        are not writable for that reason.

        Args:
            indices: (M,) frames in any order, repeated ones allowed.
            prepare: What is done to a frame before it is kept, e.g. to scale it. Each
                one that was used once prepares every further frame as well, so that
                two streams are made of one pass.

        Returns:
            M arrays. A damaged frame is replaced by the next one that can be decoded.
            Fewer than M if the file holds no frame from the next wanted one on.
        """
        unique = np.unique(np.asarray(indices, dtype=np.int64)).tolist()
        if not unique:
            return []
        kept = self._kept.setdefault(prepare, {})
        for frames in self._kept.values():
            for index in set(frames).difference(range(unique[0], unique[-1] + 1)):
                del frames[index]
        for index in unique:
            if index in kept:
                continue
            image = self._frame(index)
            if image is None:
                break
            for step, frames in self._kept.items():
                if index not in frames:
                    frames[index] = image if step is None else step(image)
                    frames[index].flags.writeable = False
        return [kept[i] for i in takewhile(kept.__contains__, map(int, indices))]

    def at(self, times_s: Sequence[float]) -> list[np.ndarray]:
        """Reads the frames that are on screen at some times.

        Args:
            times_s: (M,) ascending seconds since the first frame; at times after the
                end it is the last frame.

        Returns:
            M arrays, fewer if the file is damaged.

        Raises:
            VideoReadError: If nothing can be decoded.
        """
        found: list[np.ndarray] = []
        for index in self.times.shown_at(times_s):
            found += self.read([index]) or found[-1:]
        if not found and len(times_s):
            raise VideoReadError(f'{self.path}: no frame can be decoded')
        return found

    def close(self) -> None:
        """Closes what is open; it is opened again where needed."""

    def _frame(self, index: int) -> np.ndarray | None:
        """The frame, or the one that stands for it; None after the end."""
        raise NotImplementedError


class VideoReader(_Reader):
    """Reads a video file; goes on where the last call ended, seeks where that pays.

    Opening reads the packets of the whole file once, without decoding them. What is
    damaged is left out and told in ``warnings``.

    Args:
        path: Video file.
        num_threads: Decoding threads; 0 lets the library choose. One is best with
            several data loader workers.
        default_fps: Rate where the file does not tell its own.

    Attributes:
        path: As given.
        num_frames: Number of frames.
        times: When each of them is shown.
        announced_s: Duration according to the file's header, if it has one.
        first_frame_s: When players show the first frame; later than 0 if the sound
            begins before it.
        warnings: What was wrong with the file, as far as it was read.

    Raises:
        VideoReadError: If it cannot be opened, has no video stream or tells no rate.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        num_threads: int = 1,
        default_fps: float | None = None,
    ) -> None:
        super().__init__()
        self.path = os.fspath(path)
        self._num_threads = num_threads
        if not os.path.isfile(self.path):
            raise VideoReadError(f'{self.path}: no such video file')
        facts = os.stat(self.path)
        self._scan = scan = scan_video(self.path, facts.st_mtime_ns, facts.st_size)
        self.num_frames = scan.num_frames
        if scan.times is None and default_fps is None:
            raise VideoReadError(
                f'{self.path}: the file does not tell its frame rate; add "fps" to its '
                'entry in the annotation and give the annotation'
            )
        self.times = scan.times or FrameTimes(self.num_frames, default_fps)
        self.announced_s, self.first_frame_s = scan.announced_s, scan.first_frame_s
        self.warnings += scan.warnings
        announced = self.announced_s or 0
        if announced - self.duration_s > length_tolerance_s(announced):
            self.warnings.append(
                f'ends at {self.duration_s:.2f} s, though its header announces '
                f'{announced:.2f} s'
            )
        self._container: Any = None
        self._pid = os.getpid()
        self._decoder: Iterator[tuple[int, Any]] = iter(())
        self._current: tuple[int, Any] | None = None
        self._size: tuple[int, int] | None = None

    def close(self) -> None:
        """Closes the file; it is opened again where needed."""
        if self._container is not None:
            if self._pid == os.getpid():
                self._container.close()
            else:
                _INHERITED.append((self._container, self._decoder, self._current))
        self._container, self._decoder, self._current = None, iter(()), None

    def __del__(self) -> None:
        """Closes the file; also where the garbage of a parent process is collected."""
        if getattr(self, '_container', None) is not None:
            self.close()

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields number and picture of all frames that can be decoded; keeps none.

        Raises:
            VideoReadError: If there is none.
        """
        self._start()
        for index, frame in self._decoder:
            yield index, self._picture(frame)
        if self._current is None:
            raise VideoReadError(f'{self.path}: no frame can be decoded')

    def _frame(self, index: int) -> np.ndarray | None:
        if index >= self.num_frames:
            return None
        if self._pid != os.getpid():
            # The place in the file is shared with the process that opened it.
            self.close()
        at = -1 if self._current is None else self._current[0]
        keys = self._scan.key_indices
        nearest = bisect.bisect_right(keys, index) - 1
        key = keys[nearest] if nearest >= 0 else 0
        if self._container is None or index < at or key - at > _SEEK_FROM:
            self._start(key)
            # Where decoding and presentation order differ, a container may seek to the
            # key frame after the one that was asked for.
            if key and (self._current is None or self._current[0] > index):
                self._start()
        while self._current is None or self._current[0] < index:
            if next(self._decoder, None) is None:
                return None
        # A frame that is damaged and missing is replaced by the one after it.
        return self._picture(self._current[1])

    def _picture(self, frame: Any) -> np.ndarray:
        """A frame as upright RGB, scaled to the size of the first one."""
        self._size = self._size or (frame.width, frame.height)
        threads = {'threads': self._num_threads} if _HAS_THREADS else {}
        frame = frame.reformat(*self._size, 'rgb24', **threads)
        image = frame.to_ndarray()
        # Degrees counter-clockwise; older PyAV does not know the rotation.
        turns = int(round(getattr(frame, 'rotation', 0) / 90)) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def _start(self, key: int = 0) -> None:
        """Lets decoding begin with a key frame, or at the start of the file."""
        if not key:
            self.close()
        if self._container is None:
            self._container, self._pid = open_video(self.path), os.getpid()
            stream = self._container.streams.video[0]
            stream.codec_context.thread_count = self._num_threads
            if self._num_threads != 1:
                stream.thread_type = 'AUTO'
        stream = self._container.streams.video[0]
        self._current, self._decoder = None, self._decode(stream)
        if key:
            try:
                stamp = int(self._scan.stamps[key])
                self._container.seek(stamp, stream=stream, backward=True)
            except FFmpegError:  # not every container can seek
                self._start()
            else:
                next(self._decoder, None)

    def _decode(self, stream: Any) -> Iterator[tuple[int, Any]]:
        """Yields what can be decoded, with its number, and tells of what cannot."""
        number, damaged, stamps = 0, 0, self._scan.stamps
        packets = self._container.demux(stream)
        packet = stream
        while packet is not None:
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                self._warn(f'reading stopped early: {one_line(error)}')
                packet = None
            # The last packet of demux() is empty: it empties the decoder.
            try:
                frames = stream.decode(packet)
            except EOFError:
                break
            except FFmpegError:
                damaged += 1
                frames = []
            for frame in frames:
                index, number = number, number + 1
                if stamps is not None:
                    if frame.pts is None or frame.pts < stamps[0]:
                        continue
                    index = int(np.searchsorted(stamps, frame.pts))
                self._current = index, frame
                yield self._current
        if damaged:
            self._warn('damaged packets were left out', f'{damaged} ')

    def _warn(self, message: str, count: str = '') -> None:
        """Notes what is wrong, once, however often that place is read."""
        if not any(message in noted for noted in self.warnings):
            self.warnings.append(f'{count}{message}')


class ArrayReader(_Reader):
    """Frames that are in memory already, or made one after another.

    Args:
        frames: (H, W, 3) uint8 RGB each; an array (T, H, W, 3) is one possibility, a
            generator another. Of a generator, the frames from the first one of the
            latest call on are held.
        fps: Their rate.

    Attributes:
        num_frames: None until a generator has ended.

    Raises:
        ValueError: If the rate is not positive.
        VideoReadError: If there is no frame.
    """

    path = 'frames'

    def __init__(
        self, frames: Sequence[np.ndarray] | Iterable[np.ndarray], fps: float
    ) -> None:
        super().__init__()
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f'fps must be positive, got {fps}')
        self._fps = fps
        self._sequence = frames if hasattr(frames, '__len__') else None
        self._iterator = iter(frames)
        self._held: dict[int, np.ndarray] = {}
        self._num_made = 0
        self.num_frames = None if self._sequence is None else len(frames)
        if not self.reaches(0):
            raise VideoReadError('there is no frame')
        self.announced_s = self.duration_s if self.num_frames else None

    @property
    def times(self) -> FrameTimes:
        """When each frame is shown; of a generator those that were read so far."""
        return FrameTimes(self.num_frames or self._num_made, self._fps)

    def reaches(self, index: int) -> bool:
        """Whether there is a frame of this number; a generator is read up to it."""
        while self.num_frames is None and self._num_made <= index:
            image = next(self._iterator, None)
            if image is None:
                self.num_frames = self._num_made
            else:
                self._held[self._num_made] = _checked(image, self._num_made)
                self._num_made += 1
        return self.num_frames is None or index < self.num_frames

    def read(
        self, indices: Sequence[int] | np.ndarray, prepare: Prepare | None = None
    ) -> list[np.ndarray]:
        """See :meth:`VideoReader.read`."""
        first = min(indices, default=0)
        self._held = {i: self._held[i] for i in self._held if i >= first}
        return super().read(indices, prepare)

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields number and picture of all frames, in order."""
        for index in takewhile(self.reaches, count()):
            yield index, self.read([index])[0]

    def _frame(self, index: int) -> np.ndarray | None:
        if not self.reaches(index):
            return None
        if self._sequence is not None:
            return _checked(self._sequence[index], index).view()
        if index not in self._held:
            raise VideoReadError(
                f'frame {index} of a generator cannot be had again; give an array'
            )
        return self._held[index].view()


def _checked(image: Any, index: int) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise VideoReadError(
            f'frame {index} is {image.dtype} {image.shape}, but frames must be '
            'uint8 RGB pictures (H, W, 3)'
        )
    if not image.size:
        raise VideoReadError(f'frame {index} is empty: {image.shape}')
    return image
