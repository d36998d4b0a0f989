"""Writing a video again with other pictures, at its own times and with its sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mmtal_mts.datasets.video_stream import VideoStream

Draw = Callable[[np.ndarray, float], np.ndarray]
"""Gets a picture (H, W, 3) and its time in seconds, returns another picture."""

# Fine enough for every common frame rate.
_TICK = Fraction(1, 90_000)
# Sound that mp4 files may hold as it is.
_MP4_SOUND = ('aac', 'mp3', 'ac3', 'eac3', 'opus', 'flac', 'alac')


def encode_video(
    source: str, path: Path, draw: Draw, crf: int = 23, preset: str = 'veryfast'
) -> None:
    """Decodes a video, changes its pictures and writes an H.264 mp4 file.

    Frames keep their times, also at a varying frame rate. Sound is copied if mp4
    files can hold it, and left out otherwise.

    Args:
        source (str): Video file.
        path (Path): File to write.
        draw (Callable): Makes the new pictures, all of one size.
        crf (int): Quality, lower is better.
        preset (str): Speed of the encoder.

    Raises:
        VideoReadError: If nothing can be decoded.
    """
    import av

    with ExitStack() as stack:
        stream = VideoStream(source)
        output = stack.enter_context(
            av.open(str(path), 'w', format='mp4', options={'movflags': '+faststart'})
        )
        video = output.add_stream('libx264', options=dict(crf=str(crf), preset=preset))
        video.pix_fmt = 'yuv420p'
        video.codec_context.time_base = _TICK
        sound = _Sound(stack.enter_context(av.open(source)), output)
        last = -1
        for frame in stream.frames():
            image = _even(draw(frame.image, float(frame.time)))
            if last < 0:
                video.height, video.width = image.shape[:2]
            picture = av.VideoFrame.from_ndarray(image, format='rgb24')
            last = max(round(frame.time / _TICK), last + 1)
            picture.pts, picture.time_base = last, _TICK
            packets = video.encode(picture)
            # Sound of the same time goes next to the pictures.
            for packet in sound.until(float(frame.time)):
                output.mux(packet)
            output.mux(packets)
        output.mux(video.encode(None))
        for packet in sound.until(float('inf')):
            output.mux(packet)


def codec_name(stream: Any) -> str:
    """The name of a codec, whichever decoder is used for it.

    Args:
        stream (av.stream.Stream): Sound or pictures.

    Returns:
        str: E.g. 'mp3' and not 'mp3float', 'av1' and not 'libdav1d'.
    """
    codec = stream.codec_context.codec
    return getattr(codec, 'canonical_name', codec.name)


class _Sound:
    """The packets of the first audio stream, moved to the clock of the frames.

    Args:
        container (av.container.InputContainer): The source.
        output (av.container.OutputContainer): Gets a stream for the sound.
    """

    def __init__(self, container: Any, output: Any) -> None:
        self._stream = None
        self._waiting: Any = None
        audio = container.streams.audio
        if not audio or codec_name(audio[0]) not in _MP4_SOUND:
            return
        if not hasattr(output, 'add_stream_from_template'):  # PyAV before 14
            self._stream = output.add_stream(template=audio[0])
        else:
            self._stream = output.add_stream_from_template(audio[0])
        video = container.streams.video[0]
        start = (video.start_time or 0) * video.time_base
        self._shift = round(start / audio[0].time_base)
        self._packets = self._usable(container.demux(audio[0]))
        self._waiting = next(self._packets, None)

    def _usable(self, packets: Iterator[Any]) -> Iterator[Any]:
        import av

        last = None
        try:
            for packet in packets:
                if packet.dts is None or packet.pts is None:
                    continue
                packet.dts -= self._shift
                packet.pts -= self._shift
                if packet.dts < 0 or (last is not None and packet.dts <= last):
                    continue
                last = packet.dts
                yield packet
        # A damaged end costs the rest of the sound, not the pictures.
        except av.error.FFmpegError:
            return

    def until(self, time: float) -> Iterator[Any]:
        """Yields what has not been yielded and begins before a time."""
        while self._waiting is not None:
            packet = self._waiting
            if float(packet.pts * packet.time_base) > time:
                return
            packet.stream = self._stream
            yield packet
            self._waiting = next(self._packets, None)


def _even(image: np.ndarray) -> np.ndarray:
    """Repeats the last row or column of an odd picture: H.264 halves the colours."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode='edge')
    return np.ascontiguousarray(image)
