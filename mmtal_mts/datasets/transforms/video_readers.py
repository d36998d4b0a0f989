"""Exact frame access to video files, the same for every decoding library.

Frame i is the i-th frame in presentation order. A reader returns frames upright
(rotation flags applied) as (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import bisect
import importlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmaction.datasets.transforms import DecordDecode, DecordInit, OpenCVInit

from ..frame_times import FrameTimes, read_frame_times, read_packets, times_of_packets

# So many frames are decoded at once where a library returns them in batches.
_CHUNK = 64


class VideoReadError(ValueError):
    """A video, frame folder or array that cannot be read as needed.

    Takes one finished message, so that it survives the way out of a data loader's
    worker process.
    """


class VideoReader:
    """Base of the readers.

    Attributes:
        path (str): Video file.
        num_frames (int): Number of frames that the file announces.
        fps (float, optional): Average frame rate, None if unknown.
    """

    path: str
    num_frames: int
    fps: float | None

    def times(self, fallback_fps: float | None = None) -> FrameTimes | None:
        """Tells when each frame is shown.

        Args:
            fallback_fps (float, optional): Rate where the file does not tell one.

        Returns:
            FrameTimes, optional: The same for every library; None if nothing is known.
        """
        times = self._stamped_times()
        if times is not None:
            return times
        fps = self.fps or fallback_fps
        return None if fps is None else FrameTimes(self.num_frames, fps)

    def _stamped_times(self) -> FrameTimes | None:
        try:
            from av.error import FFmpegError
        except ImportError:  # the other libraries know the average rate only
            return None
        try:
            return read_frame_times(self.path)
        except (FFmpegError, OSError):
            # PyAV cannot read this file; whether another library can, it says itself.
            return None

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the frames of ascending, unique indices.

        Stops early where the file holds fewer frames than asked for.

        Args:
            indices (np.ndarray): (M,) int64.

        Yields:
            np.ndarray: (H, W, 3) uint8 RGB.
        """
        raise NotImplementedError


def _known_rate(fps: Any) -> float | None:
    fps = float(fps or 0)
    return fps if math.isfinite(fps) and fps > 0 else None


class _LocalDecordInit(DecordInit):
    """Opens by path, where the parent reads the whole file into memory first."""

    def _get_video_reader(self, filename: str) -> Any:
        import decord

        return decord.VideoReader(filename, num_threads=self.num_threads)


class DecordReader(VideoReader):
    """Reads by MMAction2's Decord transforms; seeks to what is needed.

    Args:
        path (str): Video file.
        num_threads (int): Decoding threads, 0 lets the library choose.
    """

    def __init__(self, path: str, num_threads: int) -> None:
        self.path = path
        opened = _LocalDecordInit(num_threads=num_threads)(dict(filename=path))
        self._container = opened['video_reader']
        self.num_frames = opened['total_frames']
        self.fps = _known_rate(opened['avg_fps'])
        self._decode = DecordDecode()

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """See :meth:`VideoReader.read`."""
        indices = indices[indices < self.num_frames]
        for begin in range(0, len(indices), _CHUNK):
            batch = dict(
                video_reader=self._container, frame_inds=indices[begin : begin + _CHUNK]
            )
            yield from self._decode(batch)['imgs']


def upright_rgb(frame: Any) -> np.ndarray:
    """Converts a frame of PyAV, and turns it as its rotation flag says.

    Args:
        frame (av.VideoFrame): Decoded frame.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB.
    """
    image = frame.to_ndarray(format='rgb24')
    # Degrees counter-clockwise; older PyAV does not know the rotation.
    turns = int(round(getattr(frame, 'rotation', 0) / 90)) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


class PyAVReader(VideoReader):
    """Reads by PyAV: seeks to the key frame before the first frame needed.

    MMAction2's PyAVDecode is not used: it decodes and keeps every frame from the
    beginning of the file, and repeats frames from the beginning if the file is
    shorter than asked for.

    Args:
        path (str): Video file.
        num_threads (int): Decoding threads, 0 lets the library choose.
    """

    def __init__(self, path: str, num_threads: int) -> None:
        import av

        self._av = av
        self.path = path
        self._num_threads = num_threads
        with av.open(path) as container:
            if not container.streams.video:
                raise ValueError('no video stream')
            stream = container.streams.video[0]
            self.fps = _known_rate(stream.average_rate)
            packets = read_packets(container, stream)
            self._stamped = times_of_packets(packets, stream)
        self.num_frames = len(packets)
        times = [packet.pts for packet in packets]
        # Without unique time stamps frames can only be counted from the beginning.
        self._seekable = None not in times and len(set(times)) == len(times)
        self._times = np.sort(times) if self._seekable else np.arange(len(times))
        self._key_times = sorted(
            packet.pts for packet in packets if packet.is_key and self._seekable
        )

    def _stamped_times(self) -> FrameTimes | None:
        return self._stamped

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """See :meth:`VideoReader.read`."""
        wanted = iter(indices[indices < self.num_frames].tolist())
        target = next(wanted, None)
        if target is None:
            return
        with self._av.open(self.path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = self._num_threads
            if self._num_threads != 1:
                stream.thread_type = 'AUTO'
            for position, frame in self._decode(container, stream, target):
                if position < target:
                    continue
                # A damaged frame in between is missing: show the one after it.
                image = upright_rgb(frame)
                while target is not None and target <= position:
                    yield image
                    target = next(wanted, None)
                if target is None:
                    return

    def _decode(
        self, container: Any, stream: Any, first: int
    ) -> Iterator[tuple[int, Any]]:
        """Yields (index, frame), beginning with a frame not after ``first``."""
        key = bisect.bisect_right(self._key_times, self._times[first]) - 1
        if key > 0:
            container.seek(self._key_times[key], stream=stream, backward=True)
            frames = self._by_time(container.decode(stream))
            start = next(frames, None)
            # Where decoding and presentation order differ, a container may seek to
            # the key frame after the one that was asked for.
            if start is not None and start[0] <= first:
                yield start
                yield from frames
                return
            container.seek(0, stream=stream, backward=True, any_frame=False)
        if self._seekable:
            yield from self._by_time(container.decode(stream))
        else:
            yield from enumerate(container.decode(stream))

    def _by_time(self, frames: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        for frame in frames:
            if frame.pts is not None:
                yield int(np.searchsorted(self._times, frame.pts)), frame


class OpenCVReader(VideoReader):
    """Reads by OpenCV, counting frames from the beginning of the file.

    OpenCV seeks by time and misses the frame where the frame rate varies, so this
    reader skips forward without converting what it skips: exact, but slow for windows
    far into a long video.

    Args:
        path (str): Video file.
        num_threads (int): Not used, OpenCV decides.
    """

    def __init__(self, path: str, num_threads: int) -> None:
        import cv2

        self.path = path
        reader = OpenCVInit()(dict(filename=path))['video_reader']
        self._capture = reader.vcap
        if not self._capture.isOpened():
            raise ValueError('OpenCV cannot open it')
        self._to_rgb = lambda image: cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        self._position = -1
        self.num_frames = max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.fps = _known_rate(self._capture.get(cv2.CAP_PROP_FPS))

    def read(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        """See :meth:`VideoReader.read`; a reader reads forward only."""
        for target in indices.tolist():
            while self._position < target:
                if not self._capture.grab():
                    return
                self._position += 1
            ok, image = self._capture.retrieve()
            if not ok:
                return
            yield self._to_rgb(image)


_READERS: dict[str, tuple[str, type[VideoReader]]] = {
    'decord': ('decord', DecordReader),
    'pyav': ('av', PyAVReader),
    'opencv': ('cv2', OpenCVReader),
}
BACKENDS = tuple(_READERS)


def available_backends() -> list[str]:
    """Lists the decoding libraries that can be imported, the fastest first.

    Returns:
        list[str]: Some of 'decord', 'pyav', 'opencv'.
    """
    found = []
    for name, (module, _) in _READERS.items():
        try:
            importlib.import_module(module)
        # A library with a missing system dependency fails by OSError.
        except (ImportError, OSError):
            continue
        found.append(name)
    return found


def open_video(path: str, backend: str, num_threads: int = 1) -> VideoReader:
    """Opens a video file.

    Args:
        path (str): Video file.
        backend (str): 'decord', 'pyav' or 'opencv'.
        num_threads (int): Decoding threads.

    Returns:
        VideoReader: Reader positioned at the beginning.
    """
    return _READERS[backend][1](path, num_threads)
