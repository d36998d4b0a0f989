"""Video files by PyAV: opening them, what their packets tell, and writing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..structures.timebase import (
    FrameTimes,
    exact_rate,
    frames_to_seconds,
    length_tolerance_s,
    times_from_stamps,
    unwrap_stamps,
)
from ..utils.io import atomic_write

# Constant quality: visually clean, yet small files despite the sensor noise. Macroblock
# trees of x264 make the bytes of small pictures differ from one process to the next.
_X264 = {'crf': '20', 'preset': 'veryfast', 'threads': '1', 'mbtree': '0'}


class VideoReadError(ValueError):
    """A video, frame folder or array that cannot be read as needed.

    Takes one finished message, so that it survives the way out of a data loader's
    worker process.
    """


@dataclass(frozen=True)
class Scan:
    """What the packets of a file tell without being decoded."""

    num_frames: int
    times: FrameTimes | None  # None if the file does not tell its rate
    stamps: np.ndarray | None  # ascending; None if frames can only be counted
    key_indices: list[int]  # frames that decoding may begin with
    announced_s: float | None
    first_frame_s: float
    warnings: tuple[str, ...]


# Windows of the same video are asked for again and again, in every epoch.
@lru_cache(maxsize=512)
def scan_video(path: str, modified: int, size: int) -> Scan:
    """Reads the packets of a file; the time and size are what the cache goes by."""
    packets, warnings = [], []
    with open_video(path) as container:
        stream = container.streams.video[0]
        average = stream.average_rate or stream.guessed_rate
        rate, tick = exact_rate(float(average)) if average else None, stream.time_base
        announced_s = _announced_s(container, rate)
        first_frame_s = 0.0
        if stream.start_time and container.start_time is not None:
            begin = float(stream.start_time * tick)
            first_frame_s = max(begin - container.start_time / av.time_base, 0.0)
        try:
            for packet in container.demux(stream):
                if packet.size and not getattr(packet, 'is_discard', False):
                    packets.append(
                        (packet.pts, packet.dts, packet.duration, packet.is_keyframe)
                    )
        except FFmpegError as error:
            warnings.append(f'reading stopped early: {one_line(error)}')
    if not packets:
        raise VideoReadError(f'{path}: no frame can be decoded')
    stamps = [pts for pts, _, _, _ in packets]
    decoding = [pts if dts is None else dts for pts, dts, _, _ in packets]
    last_s, ordered, keys = None, None, []
    if None not in stamps and tick:
        unwrapped = unwrap_stamps(stamps, decoding, tick, rate)
        last = packets[int(np.argmax(unwrapped))][2]
        last_s = last * tick if last else None
        # Without unique time stamps frames can only be counted from the beginning.
        if unwrapped == stamps and len(set(stamps)) == len(stamps):
            ordered = np.sort(np.array(stamps, dtype=np.int64))
            key_stamps = [pts for pts, _, _, is_key in packets if is_key]
            keys = np.sort(np.searchsorted(ordered, key_stamps)).tolist()
        stamps = unwrapped
    times = times_from_stamps(stamps, tick, rate, last_s)
    return Scan(
        len(packets), times, ordered, keys, announced_s, first_frame_s, tuple(warnings)
    )


def open_video(path: str) -> Any:
    """Opens a file that has a video stream; the caller closes the container."""
    try:
        container = av.open(path)
    except (FFmpegError, OSError, ValueError) as error:
        reason = one_line(error) if os.path.getsize(path) else 'it is empty'
        raise VideoReadError(
            f'{path}: cannot be opened as a video ({reason}). Play or re-encode it, '
            'for instance by "ffmpeg -i IN -c:v libx264 OUT.mp4"'
        ) from error
    if not container.streams.video:
        container.close()
        raise VideoReadError(f'{path}: has no video stream')
    return container


def _announced_s(container: Any, rate: Any) -> float | None:
    """The longest duration that the header tells; a cut file may tell two."""
    stream, lengths = container.streams.video[0], [0.0]
    if stream.duration and stream.time_base:
        lengths.append(float(stream.duration * stream.time_base))
    elif container.duration:
        lengths.append(container.duration / av.time_base)
    if rate:
        lengths.append(frames_to_seconds(stream.frames, float(rate)))
    return max(lengths) or None


def one_line(error: Exception) -> str:
    """The first line of what an error says."""
    text = getattr(error, 'strerror', None) or str(error).strip()
    return text.split('\n')[0] or type(error).__name__


def announced_duration_s(path: str) -> float | None:
    """Reads the duration from the header; None if there is none or no video."""
    try:
        with open_video(path) as container:
            return _announced_s(container, container.streams.video[0].average_rate)
    except (VideoReadError, OSError):
        return None


def complete_frames(
    frames: Sequence[np.ndarray],
    indices: np.ndarray,
    times: FrameTimes,
    path: str,
    before: np.ndarray | None = None,
    until: int | None = None,
) -> list[np.ndarray]:
    """Repeats the last frame where a file lacks a few of the ``indices`` at its end.

    For a piece of a longer request, ``before`` is the frame before it, and ``until``
    the last index of all. More than a second, or 2 % of the video, is an error.
    """
    found = len(frames)
    if found == len(indices):
        return list(frames)
    filler = frames[-1] if found else before
    last = int(indices[-1]) if until is None else until
    lacking_s = frames_to_seconds(last - int(indices[max(found - 1, 0)]), times.fps)
    if filler is None or lacking_s > length_tolerance_s(times.duration_s):
        raise VideoReadError(
            f'{path}: damaged or cut off at frame {indices[found]} of '
            f'{times.num_frames}'
        )
    return [*frames, *[filler] * (len(indices) - found)]


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
        for frame in frames:
            if not count:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode(None))
    return count
