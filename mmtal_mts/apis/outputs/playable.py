"""Which videos browsers play, and how the others become such."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmtal_mts.utils.io import atomic_write

from .video_encoding import codec_name, encode_video

_PLAYABLE = {
    '.mp4': ('h264', 'vp9', 'av1'),
    '.m4v': ('h264',),
    '.mov': ('h264',),
    '.webm': ('vp8', 'vp9', 'av1'),
}
# 8 bits, colours at half the resolution: what every browser decodes.
_PIXELS = ('yuv420p', 'yuvj420p')
_MAX_PREVIEW_HEIGHT = 480


def is_playable(path: Path) -> bool:
    """Says whether common browsers play a file.

    Args:
        path (Path): Video file.

    Returns:
        bool: By container, codec and pixel format.
    """
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return (
            codec_name(stream) in _PLAYABLE.get(path.suffix.lower(), ())
            and stream.codec_context.pix_fmt in _PIXELS
        )


def write_preview(source: str, path: Path) -> None:
    """Converts a video to a small one that browsers play.

    Args:
        source (str): Video file.
        path (Path): MP4 file to write.
    """
    with atomic_write(path) as temporary:
        encode_video(source, temporary, _Shrinker(), crf=26)


class _Shrinker:
    """Brings all pictures to the size of the first, or a smaller one."""

    def __init__(self) -> None:
        self._size: tuple[int, int] | None = None

    def __call__(self, image: np.ndarray, time: float) -> np.ndarray:
        height, width = image.shape[:2]
        if self._size is None:
            scale = min(1.0, _MAX_PREVIEW_HEIGHT / height)
            self._size = max(2, round(width * scale)), max(2, round(height * scale))
        if (width, height) == self._size:
            return image
        return cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
