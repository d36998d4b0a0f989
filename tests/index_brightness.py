"""A video of 40 frames of 32x32 at 30 fps: H.264 with B-frames, a key frame every 12.

Frame i is grey of value 20 + 5 i.
"""

from __future__ import annotations

from pathlib import Path

VIDEO = str(Path(__file__).parent / 'data' / 'index_brightness.mp4')


def shown(images):
    """The numbers of the frames, by their brightness."""
    return [round((float(image.mean()) - 20) / 5) for image in images]
