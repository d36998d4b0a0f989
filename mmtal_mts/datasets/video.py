"""Reading videos by exact frame numbers and times, and writing them, by PyAV.

Frame i is the i-th frame in presentation order. Frames are upright (rotation flags
applied) arrays (H, W, 3) of uint8 RGB.
"""

from __future__ import annotations

import bisect
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import takewhile
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..structures import timebase
from ..utils.io import atomic_write

Prepare = Callable[[np.ndarray], np.ndarray]

# Up to this distance in frames, decoding on is cheaper than seeking.
_SEEK_FROM = 64
# Older PyAV takes no number of threads for the conversion of a frame.
_HAS_THREADS = 'threads' in (av.VideoFrame.reformat.__doc__ or '')
# Constant quality: visually clean, yet small files despite the sensor noise. Macroblock
# trees of x264 make the bytes of small pictures differ from one process to the next.
_X264 = {'crf': '20', 'preset': 'veryfast', 'threads': '1', 'mbtree': '0'}


class VideoReadError(ValueError):
    """A video, frame folder or array that cannot be read as needed.

    Takes one finished message, so that it survives the way out of a data loader's
    worker process.
    """


class VideoReader:
    """Reads a video file; goes on where the last call ended, seeks where that pays.

    Opening reads the packets of the whole file once, without decoding them. What is
    damaged is left out and noted in ``warnings``.

    Args:
        path: Video file.
        num_threads: Decoding threads; 0 lets the library choose. One is best with
            several data loader workers.
        default_fps: Rate where the file does not tell its own.

    Attributes:
        path: As given.
        num_frames: Number of frames.
        times: When each of them is shown.
        fps: Frame rate; the average one if it varies.
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
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise VideoReadError(f'{self.path}: no such video file')
        self._num_threads = num_threads
        status = os.stat(self.path)
        scan = _scan(self.path, status.st_mtime_ns, status.st_size, default_fps)
        self.times, self._stamps, self._keys, self.first_frame_s, warnings = scan
        self.num_frames: int | None = self.times.num_frames
        self.fps = self.times.fps
        self.warnings: list[str] = list(warnings)
        self._kept: dict[Prepare | None, dict[int, np.ndarray]] = {}
        # Optical flow that is kept for the next window, see flow.py.
        self.fields: dict[tuple, np.ndarray] = {}
        self._size: tuple[int, int] | None = None
        self._container: Any = None
        self.close()

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
        for index in [index for index in unique if index not in kept]:
            image = self._frame(index)
            if image is None:
                break
            for step, frames in self._kept.items():
                if index not in frames:
                    frames[index] = image if step is None else step(image)
                    frames[index].flags.writeable = False
        return [kept[i] for i in takewhile(kept.__contains__, map(int, indices))]

    def at(self, time_s: float) -> np.ndarray:
        """Reads the frame that is on screen at a time.

        Args:
            time_s: Seconds since the first frame; after the end it is the last frame.

        Raises:
            VideoReadError: If neither that frame nor a later one can be decoded.
        """
        for image in self.read(self.times.shown_at([time_s])):
            return image
        raise VideoReadError(f'{self.path}: no frame can be decoded')

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields number and picture of all frames that can be decoded; keeps none.

        Raises:
            VideoReadError: If there is none.
        """
        self._start()
        for index in self._decoder:
            yield index, self._picture()
        if self._at < 0:
            raise VideoReadError(f'{self.path}: no frame can be decoded')

    def close(self) -> None:
        """Closes the file; it is opened again where needed."""
        if self._container is not None:
            self._container.close()
        self._container, self._decoder = None, iter(())
        # The frame that was decoded last, and its number.
        self._at, self._decoded = -1, None

    def _frame(self, index: int) -> np.ndarray | None:
        """The frame, or the one that stands for it; None after the end."""
        if index >= self.num_frames:
            return None
        key = self._keys[bisect.bisect_right(self._keys, index) - 1]
        if self._container is None or index < self._at or key - self._at > _SEEK_FROM:
            self._start(key)
            # Where decoding and presentation order differ, a container may seek to the
            # key frame after the one that was asked for.
            if key and not 0 <= self._at <= index:
                self._start()
        # A frame that is damaged and missing is replaced by the one after it.
        found = self._at >= index or any(at >= index for at in self._decoder)
        return self._picture() if found else None

    def _picture(self) -> np.ndarray:
        """The decoded frame as upright RGB, scaled to the size of the first one."""
        frame = self._decoded
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
            self._container = _open(self.path)
            _OPEN.add(self)
            stream = self._container.streams.video[0]
            stream.codec_context.thread_count = self._num_threads
            stream.codec_context.thread_type = 'AUTO'
        self._at, self._decoder = -1, self._decode()
        if key:
            stream, stamp = self._container.streams.video[0], int(self._stamps[key])
            try:
                self._container.seek(stamp, stream=stream, backward=True)
            except FFmpegError:  # not every container can seek
                self._start()
            else:
                next(self._decoder, None)

    def _decode(self) -> Iterator[int]:
        """Decodes what can be decoded, yields the numbers, and notes what cannot."""
        stream, stamps = self._container.streams.video[0], self._stamps
        number, num_damaged = 0, 0
        for packet in _packets(self._container, self.warnings):
            try:
                frames = stream.decode(packet)
            except EOFError:
                break
            except FFmpegError:
                num_damaged += 1
                continue
            for frame in frames:
                index, number = number, number + 1
                if stamps is not None:
                    if frame.pts is None or frame.pts < stamps[0]:
                        continue
                    index = int(np.searchsorted(stamps, frame.pts))
                self._at, self._decoded = index, frame
                yield index
        # Once, however often that place is read.
        message = 'damaged packets were left out'
        if num_damaged and not any(message in noted for noted in self.warnings):
            self.warnings.append(f'{num_damaged} {message}')


# Files that a forked process got from its parent must stay open: closing one would wait
# for decoding threads that are not there.
_OPEN: weakref.WeakSet[VideoReader] = weakref.WeakSet()
_INHERITED: list[dict[str, Any]] = []


def _leave_to_parent() -> None:
    """Lets the readers of a forked process open their files by themselves."""
    for reader in list(_OPEN):
        _INHERITED.append(dict(vars(reader)))
        reader._container = None
        reader.close()


if hasattr(os, 'register_at_fork'):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)


# Windows of the same video are asked for again and again, in every epoch.
@lru_cache(maxsize=512)
def _scan(path: str, modified: int, size: int, default_fps: float | None) -> tuple:
    """Reads what the packets of a file tell without being decoded.

    The time of writing and the size are what the cache goes by.

    Returns:
        Times, ascending stamps (None if frames can only be counted), the frames that
        decoding may begin with, the seconds before the first frame, and warnings.
    """
    warnings: list[str] = []
    first_frame_s, last_s, ordered, keys = 0.0, None, None, [0]
    with _open(path) as container:
        stream = container.streams.video[0]
        average, tick = stream.average_rate or stream.guessed_rate, stream.time_base
        rate = timebase.exact_rate(float(average)) if average else None
        if stream.start_time and container.start_time is not None:
            begin = float(stream.start_time * tick)
            first_frame_s = max(begin - container.start_time / av.time_base, 0.0)
        packets = [
            (packet.pts, packet.dts, packet.duration, packet.is_keyframe)
            for packet in _packets(container, warnings)
            if packet and packet.size and not getattr(packet, 'is_discard', False)
        ]
    if not packets:
        raise VideoReadError(f'{path}: no frame can be decoded')
    stamps = [pts for pts, _, _, _ in packets]
    decoding = [pts if dts is None else dts for pts, dts, _, _ in packets]
    if None not in stamps and tick:
        unwrapped = timebase.unwrap_stamps(stamps, decoding, tick, rate)
        last = packets[int(np.argmax(unwrapped))][2]
        last_s = last * tick if last else None
        # Without unique time stamps frames can only be counted from the beginning.
        if unwrapped == stamps and len(set(stamps)) == len(stamps):
            ordered = np.sort(np.array(stamps, dtype=np.int64))
            key_stamps = [pts for pts, _, _, is_key in packets if is_key]
            keys += np.sort(np.searchsorted(ordered, key_stamps)).tolist()
        stamps = unwrapped
    times = timebase.times_from_stamps(stamps, tick, rate, last_s)
    if times is None and default_fps is None:
        raise VideoReadError(
            f'{path}: the file does not tell its frame rate; add "fps" to its entry in '
            'the annotation and give the annotation'
        )
    times = times or timebase.FrameTimes(len(packets), default_fps)
    announced_s = announced_duration_s(path)
    if announced_s - times.duration_s > timebase.length_tolerance_s(announced_s):
        warnings.append(
            f'ends at {times.duration_s:.2f} s, though its header announces '
            f'{announced_s:.2f} s'
        )
    return times, ordered, keys, first_frame_s, warnings


def _packets(container: Any, warnings: list[str]) -> Iterator[Any]:
    """Yields the packets of the video; what is empty at the end empties a decoder."""
    try:
        yield from container.demux(container.streams.video[0])
    except FFmpegError as error:
        message = f'reading stopped early: {_one_line(error)}'
        if message not in warnings:
            warnings.append(message)
        yield None


def _open(path: str) -> Any:
    """Opens a file that has a video stream; the caller closes the container."""
    try:
        container = av.open(path)
    except (FFmpegError, OSError, ValueError) as error:
        reason = _one_line(error) if os.path.getsize(path) else 'it is empty'
        raise VideoReadError(
            f'{path}: cannot be opened as a video ({reason}). Play or re-encode it, '
            'for instance by "ffmpeg -i IN -c:v libx264 OUT.mp4"'
        ) from error
    if not container.streams.video:
        container.close()
        raise VideoReadError(f'{path}: has no video stream')
    return container


def _one_line(error: Exception) -> str:
    text = getattr(error, 'strerror', None) or str(error).strip()
    return text.split('\n')[0] or type(error).__name__


def announced_duration_s(path: str) -> float:
    """Reads the longest duration that the header of a file tells, in seconds.

    A cut file may tell two. Without any, or without a video, it is 0.
    """
    lengths = [0.0]
    with suppress(VideoReadError, OSError), _open(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            lengths.append(float(stream.duration * stream.time_base))
        elif container.duration:
            lengths.append(container.duration / av.time_base)
        rate = stream.average_rate or stream.guessed_rate
        if rate:
            lengths.append(timebase.frames_to_seconds(stream.frames, float(rate)))
    return max(lengths)


def write_video(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: int) -> int:
    """Encodes frames as H.264 in an mp4 file with a key frame every second.

    The file appears under its name only when it is complete. The bytes depend on the
    frames alone (one encoder thread, no time stamps of the clock).

    Args:
        path: The mp4 file to write.
        frames: (H, W, 3) uint8 RGB frames of one size, even in both directions.
        fps: Frames per second.

    Returns:
        The number of frames written.
    """
    count = 0
    with (
        atomic_write(path) as temporary,
        av.open(str(temporary), 'w', format='mp4') as container,
    ):
        stream = container.add_stream('libx264', rate=fps, options=dict(_X264))
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.gop_size = fps
        # Without reordered frames every decoder seeks exactly.
        stream.codec_context.max_b_frames = 0
        for count, frame in enumerate(frames, 1):
            if count == 1:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return count
