"""Videos with other pictures: results drawn into them, and previews for browsers."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from ..datasets.video import VideoReader
from ..utils import UserError
from ..utils.io import atomic_write
from ..visualization import class_color
from .writers import Selection, VideoResult

PREVIEW_SUFFIX = '.preview.mp4'
# Fine enough for every common frame rate.
_TICK = Fraction(1, 90_000)
# Sound that mp4 files may hold as it is.
_MP4_SOUND = ('aac', 'mp3', 'ac3', 'eac3', 'opus', 'flac', 'alac')
_PLAYABLE = {'.mp4': ('h264', 'vp9', 'av1'), '.webm': ('vp8', 'vp9', 'av1')}
_PLAYABLE |= {'.m4v': ('h264',), '.mov': ('h264',)}
# 8 bits, colours at half the resolution: what every browser decodes.
_PIXELS = ('yuv420p', 'yuvj420p')
_MAX_PREVIEW_HEIGHT = 480
_MIN_WIDTH, _MAX_WIDTH = 480, 1280
_MAX_ROWS = 8
_PANEL, _TRACK, _TEXT = '#16191d', '#2a2f36', '#e6e9ed'

Draw = Callable[[np.ndarray, float], np.ndarray]


def write_annotated_video(
    result: VideoResult, path: Path, selection: Selection
) -> None:
    """Writes MP4: the video, what happens now in its corner, and a timeline below."""
    if result.path is None:
        raise UserError(
            f'{result.video_id}: an annotated video needs a video file, not an array '
            'of frames. Remedy: leave mp4 out of the formats'
        )
    _encode(result.path, path, partial(_paint, selection(result)))


def write_preview(source: str, path: Path) -> None:
    """Converts a video file to a small MP4 file that browsers play."""

    def shrink(image: np.ndarray, _: float) -> np.ndarray:
        scale = min(1.0, _MAX_PREVIEW_HEIGHT / image.shape[0])
        # H.264 halves the colours, so sizes are even.
        height, width = (max(2, round(n * scale / 2) * 2) for n in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    _encode(source, path, shrink, crf=26)


def is_playable(path: Path) -> bool:
    """Says by container, codec and pixel format whether common browsers play a file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codecs = _PLAYABLE.get(path.suffix.lower(), ())
        pixels = stream.codec_context.pix_fmt
        return _codec_name(stream) in codecs and pixels in _PIXELS


def _paint(shown: VideoResult, image: np.ndarray, time: float) -> np.ndarray:
    """Draws into a frame (H, W, 3) uint8 RGB; small ones are enlarged to fit text."""
    width = int(np.clip(image.shape[1], _MIN_WIDTH, _MAX_WIDTH)) // 2 * 2
    height = max(2, round(image.shape[0] * width / image.shape[1]) // 2 * 2)
    how = cv2.INTER_CUBIC if width > image.shape[1] else cv2.INTER_AREA
    size = max(13, width // 45)
    row, pad = round(size * 1.5), size // 2
    font = ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)
    found, names = shown.detections, [' '.join(name.split()) for name in shown.classes]
    # A panel with the classes that have the best detections.
    labels = sorted(list(dict.fromkeys(found.labels.tolist()))[:_MAX_ROWS])
    panel = (len(labels) * row + 2 * pad + 1) // 2 * 2
    canvas = Image.new('RGB', (width, height + panel), _PANEL)
    canvas.paste(Image.fromarray(cv2.resize(image, (width, height), interpolation=how)))
    draw, text = ImageDraw.Draw(canvas, 'RGBA'), dict(font=font, anchor='lm')
    longest = max((font.getlength(names[label]) for label in labels), default=0)
    left = int(min(longest, 0.3 * width)) + 2 * pad

    def x_of(seconds: float) -> int:
        share = np.clip(seconds / max(shown.duration, 1e-6), 0, 1)
        return left + round(float(share) * (width - pad - 1 - left))

    for position, label in enumerate(labels):
        top = height + pad + position * row
        draw.text((pad, top + row / 2), names[label], _TEXT, **text)
        # The track covers the end of a name that is too long.
        draw.rectangle((left - pad, top, width, top + row), _PANEL)
        draw.rectangle((left, top + 3, width - pad - 1, top + row - 4), _TRACK)
        # The best come last, on top.
        for index in np.flatnonzero(found.labels == label)[::-1]:
            x0, x1 = map(x_of, found.segments[index])
            strength = 0.35 + 0.65 * np.clip(found.scores[index], 0, 1)
            fill = f'{class_color(label)}{round(255 * strength):02x}'
            draw.rectangle((x0, top + 3, max(x1, x0 + 1), top + row - 4), fill)
    x = x_of(time)
    draw.rectangle((x, height + 2, x + 1, canvas.height - 3), 'white')
    # What happens now, each class once.
    (start, end), best = found.segments.T, {}
    for index in np.flatnonzero((start <= time) & (time < end)):
        best.setdefault(int(found.labels[index]), found.scores[index])
    step = size + 2 * pad + pad // 3
    for top, label in zip(range(pad, height - step, step), best, strict=False):
        words = f'{names[label]}  {best[label]:.2f}'
        right, bottom = 4 * pad + font.getlength(words), top + size + 2 * pad - 1
        draw.rectangle((pad, top, right, bottom), _PANEL)
        draw.rectangle((pad, top, 2 * pad - 1, bottom), class_color(label))
        draw.text((3 * pad, top + size / 2 + pad), words, _TEXT, **text)
    return np.asarray(canvas)


def _encode(source: str, path: Path, draw: Draw, crf: int = 23) -> None:
    """Writes H.264 with the times of the source, and its sound if MP4 can hold it."""
    with (
        atomic_write(path) as temporary,
        closing(VideoReader(source, 0)) as reader,
        av.open(source) as container,
        av.open(str(temporary), 'w', 'mp4', {'movflags': '+faststart'}) as output,
    ):
        streams = _pictures(reader, output, draw, crf), _sound(container, output)
        for packet in heapq.merge(*streams, key=lambda p: p.dts * p.time_base):
            output.mux(packet)


def _pictures(
    reader: VideoReader, output: Any, draw: Draw, crf: int
) -> Iterator[av.Packet]:
    options = dict(crf=str(crf), preset='veryfast')
    stream = output.add_stream('libx264', options=options)
    stream.pix_fmt, stream.codec_context.time_base = 'yuv420p', _TICK
    last = -1
    for index, image in reader.frames():
        time = reader.times.start_s(index)
        image = draw(image, time)
        if last < 0:
            stream.height, stream.width = image.shape[:2]
        picture = av.VideoFrame.from_ndarray(image, format='rgb24')
        last = max(round(time / _TICK), last + 1)
        picture.pts, picture.time_base = last, _TICK
        yield from stream.encode(picture)
    yield from stream.encode(None)


def _sound(container: Any, output: Any) -> Iterator[av.Packet]:
    """Copies the first audio stream; 0 is the first frame."""
    sound, video = next(iter(container.streams.audio), None), container.streams.video[0]
    if sound is None or _codec_name(sound) not in _MP4_SOUND:
        return
    if hasattr(output, 'add_stream_from_template'):
        stream = output.add_stream_from_template(sound)
    else:  # PyAV before 14
        stream = output.add_stream(template=sound)
    shift = round((video.start_time or 0) * video.time_base / sound.time_base)
    last = -1
    with suppress(av.error.FFmpegError):  # a damaged end costs the rest of the sound
        for packet in container.demux(sound):
            if packet.dts is None or packet.dts - shift <= last:
                continue
            packet.dts, packet.pts = packet.dts - shift, packet.pts - shift
            packet.stream, last = stream, packet.dts
            yield packet


def _codec_name(stream: Any) -> str:
    """E.g. 'mp3' and not 'mp3float', 'av1' and not 'libdav1d'."""
    codec = stream.codec_context.codec
    return getattr(codec, 'canonical_name', codec.name)
