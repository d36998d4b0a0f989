"""Writes a video again with other pictures, at its own times and with its sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from ..datasets.video import VideoReader
from ..utils.io import atomic_write

Draw = Callable[[np.ndarray, float], np.ndarray]
"""Gets a picture (H, W, 3) and its time in seconds, returns another picture."""

# Fine enough for every common frame rate.
_TICK = Fraction(1, 90_000)
# Sound that mp4 files may hold as it is.
_MP4_SOUND = ('aac', 'mp3', 'ac3', 'eac3', 'opus', 'flac', 'alac')
_PLAYABLE = {
    '.mp4': ('h264', 'vp9', 'av1'),
    '.m4v': ('h264',),
    '.mov': ('h264',),
    '.webm': ('vp8', 'vp9', 'av1'),
}
# 8 bits, colours at half the resolution: what every browser decodes.
_PIXELS = ('yuv420p', 'yuvj420p')
_MAX_PREVIEW_HEIGHT = 480


def encode_video(source: str, path: Path, draw: Draw, crf: int = 23) -> None:
    """Decodes a video, changes its pictures and writes an H.264 mp4 file.

    Frames keep their times, also at a varying frame rate. Sound is copied if mp4
    files can hold it, and left out otherwise.

    Args:
        source: Video file.
        path: File to write.
        draw: Makes the new pictures, all of one size.
        crf: Quality, lower is better.

    Raises:
        VideoReadError: Nothing can be decoded.
    """
    with (
        closing(VideoReader(source, 0)) as reader,
        av.open(source) as container,
        av.open(
            str(path), 'w', format='mp4', options={'movflags': '+faststart'}
        ) as output,
    ):
        options = dict(crf=str(crf), preset='veryfast')
        video = output.add_stream('libx264', options=options)
        video.pix_fmt = 'yuv420p'
        video.codec_context.time_base = _TICK
        sound = _sound(container, output)
        waiting = next(sound, None)
        last = -1
        for index, frame in reader.frames():
            time = reader.times.start_s(index)
            image = _even(draw(frame, time))
            if last < 0:
                video.height, video.width = image.shape[:2]
            picture = av.VideoFrame.from_ndarray(image, format='rgb24')
            last = max(round(time / _TICK), last + 1)
            picture.pts, picture.time_base = last, _TICK
            packets = video.encode(picture)
            # Sound of the same time goes next to the pictures.
            while waiting is not None and waiting.pts * waiting.time_base <= time:
                output.mux(waiting)
                waiting = next(sound, None)
            output.mux(packets)
        output.mux(video.encode(None))
        if waiting is not None:
            output.mux([waiting, *sound])


def is_playable(path: Path) -> bool:
    """Says by container, codec and pixel format whether common browsers play a file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return (
            codec_name(stream) in _PLAYABLE.get(path.suffix.lower(), ())
            and stream.codec_context.pix_fmt in _PIXELS
        )


def write_preview(source: str, path: Path) -> None:
    """Converts a video to a small one that browsers play.

    Args:
        source: Video file.
        path: MP4 file to write.
    """
    size: tuple[int, int] | None = None

    def shrink(image: np.ndarray, _: float) -> np.ndarray:
        """All pictures get the size of the first, or a smaller one."""
        nonlocal size
        if size is None:
            height, width = image.shape[:2]
            scale = min(1.0, _MAX_PREVIEW_HEIGHT / height)
            size = max(2, round(width * scale)), max(2, round(height * scale))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    with atomic_write(path) as temporary:
        encode_video(source, temporary, shrink, crf=26)


def codec_name(stream: Any) -> str:
    """The name of a stream's codec, whichever decoder is used for it.

    E.g. 'mp3' and not 'mp3float', 'av1' and not 'libdav1d'.
    """
    codec = stream.codec_context.codec
    return getattr(codec, 'canonical_name', codec.name)


def _sound(container: Any, output: Any) -> Iterator[Any]:
    """Yields the packets of the first audio stream, on the clock of the frames."""
    if not container.streams.audio:
        return
    audio, video = container.streams.audio[0], container.streams.video[0]
    if codec_name(audio) not in _MP4_SOUND:
        return
    if hasattr(output, 'add_stream_from_template'):
        stream = output.add_stream_from_template(audio)
    else:  # PyAV before 14
        stream = output.add_stream(template=audio)
    shift = round((video.start_time or 0) * video.time_base / audio.time_base)
    last = -1
    try:
        for packet in container.demux(audio):
            if packet.dts is None or packet.pts is None or packet.dts - shift <= last:
                continue
            packet.dts -= shift
            packet.pts -= shift
            packet.stream, last = stream, packet.dts
            yield packet
    # A damaged end costs the rest of the sound, not the pictures.
    except av.error.FFmpegError:
        return


def _even(image: np.ndarray) -> np.ndarray:
    """Repeats the last row or column of an odd picture: H.264 halves the colours."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
    return np.ascontiguousarray(image)
