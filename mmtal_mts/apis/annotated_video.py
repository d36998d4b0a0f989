"""Results drawn into the video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from PIL.ImageColor import getrgb

from ..utils import UserError
from ..visualization import class_color
from .video_encoding import encode_video
from .video_result import VIDEO_SUFFIXES, ResultWriter, VideoResult

_MIN_WIDTH, _MAX_WIDTH = 480, 1280
_MAX_ROWS = 8
_PANEL, _TRACK, _TEXT = '#16191d', '#2a2f36', '#e6e9ed'


class AnnotatedVideoWriter(ResultWriter):
    """MP4: the video, what happens now in its corner, and a timeline below it."""

    suffix = VIDEO_SUFFIXES[0]

    def _write(self, shown: VideoResult, path: Path) -> None:
        if shown.path is None:
            raise UserError(
                f'{shown.video_id}: an annotated video needs a video file, not an '
                'array of frames. Remedy: leave mp4 out of the formats'
            )
        encode_video(shown.path, path, Painter(shown))


class Painter:
    """Draws the detections of a video into its frames.

    Small videos are enlarged, so that there is room for text.

    Args:
        result: Selected detections.
    """

    def __init__(self, result: VideoResult) -> None:
        self.result = result
        self._size: tuple[int, int] | None = None

    def __call__(self, image: np.ndarray, time: float) -> np.ndarray:
        """Draws into a frame (H, W, 3) uint8 RGB shown at a time in seconds.

        Returns:
            A larger picture, of the same size for each frame.
        """
        if self._size is None:
            self._prepare(*image.shape[:2])
        enlarged = self._size[0] > image.shape[1]
        how = cv2.INTER_CUBIC if enlarged else cv2.INTER_AREA
        image = cv2.resize(image, self._size, interpolation=how)
        canvas = Image.fromarray(np.concatenate([image, self._panel]))
        draw = ImageDraw.Draw(canvas)
        pad = self._font_size // 2
        top, height = pad, self._font_size + 2 * pad
        for label, score in self._active(time):
            text = f'{" ".join(self.result.classes[label].split())}  {score:.2f}'
            right, bottom = 4 * pad + self._font.getlength(text), top + height - 1
            draw.rectangle((pad, top, right, bottom), _PANEL)
            draw.rectangle((pad, top, 2 * pad - 1, bottom), class_color(label))
            draw.text((3 * pad, top + height / 2), text, _TEXT, self._font, anchor='lm')
            top += height + pad // 3
            if top + height > image.shape[0]:
                break
        x = self._x(time)
        draw.rectangle((x, image.shape[0] + 2, x + 1, canvas.height - 3), 'white')
        return np.asarray(canvas)

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
        row, pad = round(self._font_size * 1.5), self._font_size // 2
        longest = max((self._font.getlength(name) for name in names), default=0)
        self._left = int(longest) + 2 * pad
        height = (len(labels) * row + 2 * pad + 1) // 2 * 2
        panel = Image.new('RGB', (new_width, height), _PANEL)
        draw = ImageDraw.Draw(panel)
        for position, (label, name) in enumerate(zip(labels, names, strict=True)):
            top = pad + position * row
            bottom = top + row - 4
            draw.text((pad, top + row / 2), name, _TEXT, self._font, anchor='lm')
            draw.rectangle((self._left, top + 3, new_width - pad - 1, bottom), _TRACK)
            color = np.array(getrgb(class_color(label)))
            # The best come last, on top.
            for index in np.flatnonzero(found.labels == label)[::-1]:
                x0, x1 = map(self._x, found.segments[index])
                strength = 0.35 + 0.65 * float(np.clip(found.scores[index], 0, 1))
                fill = np.rint(strength * color + (1 - strength) * 42).astype(int)
                draw.rectangle((x0, top + 3, max(x1, x0 + 1), bottom), tuple(fill))
        self._panel = np.asarray(panel)

    def _x(self, time: float) -> int:
        """Pixel of a time in the panel."""
        room = self._size[0] - self._font_size // 2 - 1 - self._left
        share = min(max(time / max(self.result.duration, 1e-6), 0.0), 1.0)
        return self._left + round(share * room)

    def _shorten(self, name: str) -> str:
        """A name in one line, not wider than a third of the picture."""
        name = short = ' '.join(name.split())
        while name and self._font.getlength(short) > self._size[0] * 0.3:
            name = name[:-1]
            short = f'{name}…'
        return short

    def _active(self, time: float) -> list[tuple[int, float]]:
        """Labels and best scores of what happens at a time, the best first."""
        found = self.result.detections
        start, end = found.segments.T
        best: dict[int, float] = {}
        for index in np.flatnonzero((start <= time) & (time < end)):
            best.setdefault(int(found.labels[index]), float(found.scores[index]))
        return list(best.items())
