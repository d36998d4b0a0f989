"""Results drawn into the video."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageColor import getrgb

from ..utils import UserError
from ..utils.io import atomic_write
from ..visualization import class_color
from .video_encoding import encode_video
from .video_result import VIDEO_SUFFIXES, ResultWriter, VideoResult

_MIN_WIDTH, _MAX_WIDTH = 480, 1280
_MAX_ROWS = 8
_PANEL, _TRACK, _TEXT = '#16191d', '#2a2f36', '#e6e9ed'


class AnnotatedVideoWriter(ResultWriter):
    """MP4: the video, what happens now in its corner, and a timeline below it."""

    suffix = VIDEO_SUFFIXES[0]

    def write(self, result: VideoResult, path: Path) -> None:
        """See :meth:`ResultWriter.write`."""
        if result.path is None:
            raise UserError(
                f'{result.video_id}: an annotated video needs a video file, not an '
                'array of frames. Remedy: leave mp4 out of the formats'
            )
        painter = Painter(self.selection(result))
        with atomic_write(path) as temporary:
            encode_video(result.path, temporary, painter)


class Painter:
    """Draws the detections of a video into its frames.

    Small videos are enlarged, so that there is room for text.

    Args:
        result: Selected detections.
    """

    def __init__(self, result: VideoResult) -> None:
        self.result = result
        self._size: tuple[int, int] | None = None
        # One label is drawn again only when it or its score changes.
        self._label = lru_cache(maxsize=256)(self._draw_label)

    def __call__(self, image: np.ndarray, time: float) -> np.ndarray:
        """Draws one frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: Seconds.

        Returns:
            A larger picture, of the same size for each frame.
        """
        if self._size is None:
            self._prepare(*image.shape[:2])
        width, height = self._size
        if image.shape[:2] != (height, width):
            enlarged = width > image.shape[1]
            how = cv2.INTER_CUBIC if enlarged else cv2.INTER_AREA
            image = cv2.resize(image, (width, height), interpolation=how)
        canvas = np.concatenate([image, self._panel])
        top = pad = self._font_size // 2
        for label, score in self._active(time):
            text = self._label(label, round(score, 2))
            bottom = min(top + text.shape[0], height)
            right = min(pad + text.shape[1], width)
            canvas[top:bottom, pad:right] = text[: bottom - top, : right - pad]
            top = bottom + pad // 3
            if top >= height:
                break
        x = self._x(time)
        canvas[height + 2 : -2, x : x + 2] = 255
        return canvas

    def _prepare(self, height: int, width: int) -> None:
        """Chooses sizes, and draws all of the panel that does not move."""
        new_width = int(np.clip(width, _MIN_WIDTH, _MAX_WIDTH)) // 2 * 2
        self._size = new_width, max(2, round(height * new_width / width) // 2 * 2)
        self._font_size = max(13, new_width // 45)
        font = font_manager.findfont('DejaVu Sans')
        self._font = ImageFont.truetype(font, self._font_size)
        found = self.result.detections
        # The classes with the best detections, in label order.
        labels = sorted(list(dict.fromkeys(found.labels.tolist()))[:_MAX_ROWS])
        names = [self._shorten(self.result.classes[label]) for label in labels]
        row = round(self._font_size * 1.5)
        pad = self._font_size // 2
        longest = max((self._font.getlength(name) for name in names), default=0)
        self._left = int(longest) + 2 * pad
        height = (len(labels) * row + 2 * pad + 1) // 2 * 2
        panel = Image.new('RGB', (new_width, height), _PANEL)
        draw = ImageDraw.Draw(panel)
        for position, (label, name) in enumerate(zip(labels, names, strict=True)):
            top = pad + position * row
            draw.text((pad, top + row / 2), name, _TEXT, self._font, anchor='lm')
            bottom = top + row - 4
            draw.rectangle((self._left, top + 3, new_width - pad - 1, bottom), _TRACK)
            # The best come last, on top.
            for index in np.flatnonzero(found.labels == label)[::-1]:
                x0, x1 = map(self._x, found.segments[index])
                strength = 0.35 + 0.65 * float(np.clip(found.scores[index], 0, 1))
                fill = tuple(
                    round(strength * channel + (1 - strength) * 42)
                    for channel in getrgb(class_color(label))
                )
                draw.rectangle((x0, top + 3, max(x1, x0 + 1), bottom), fill)
        self._panel = np.asarray(panel)

    def _x(self, time: float) -> int:
        """Pixel of a time in the panel."""
        room = self._size[0] - self._font_size // 2 - 1 - self._left
        share = min(max(time / max(self.result.duration, 1e-6), 0.0), 1.0)
        return self._left + round(share * room)

    def _shorten(self, name: str) -> str:
        name = ' '.join(name.split())
        limit = self._size[0] * 0.3
        if self._font.getlength(name) <= limit:
            return name
        while name and self._font.getlength(f'{name}…') > limit:
            name = name[:-1]
        return f'{name}…'

    def _active(self, time: float) -> list[tuple[int, float]]:
        """Labels and best scores of what happens at a time, the best first."""
        found = self.result.detections
        start, end = found.segments.T
        best: dict[int, float] = {}
        for index in np.flatnonzero((start <= time) & (time < end)):
            best.setdefault(int(found.labels[index]), float(found.scores[index]))
        return list(best.items())

    def _draw_label(self, label: int, score: float) -> np.ndarray:
        """A name on its colour."""
        text = f'{" ".join(self.result.classes[label].split())}  {score:.2f}'
        pad = self._font_size // 2
        size = (round(self._font.getlength(text)) + 3 * pad, self._font_size + 2 * pad)
        image = Image.new('RGB', size, _PANEL)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 0, pad - 1, size[1]), class_color(label))
        draw.text((2 * pad, size[1] / 2), text, _TEXT, self._font, anchor='lm')
        return np.asarray(image)
