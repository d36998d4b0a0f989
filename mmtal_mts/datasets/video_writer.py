"""Writing frames to an H.264 mp4 file, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

# Constant quality: visually clean, yet small files despite the sensor noise. Macroblock
# trees of x264 make the bytes of small pictures differ from one process to the next.
_OPTIONS = {'crf': '20', 'preset': 'veryfast', 'threads': '1', 'mbtree': '0'}


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int, size: int) -> int:
    """Encodes square frames with a keyframe every second.

    The file appears under its name only when it is complete. The bytes depend
    on the frames alone (one encoder thread, no time stamps of the clock).

    Args:
        path: The mp4 file to write.
        frames: (size, size, 3) uint8 RGB frames in order.
        fps: Frames per second.
        size: Side of the frames in pixels, even.

    Returns:
        The number of frames written.
    """
    partial = path.with_name(f'.{path.name}.partial')
    count = 0
    with av.open(str(partial), 'w', format='mp4') as container:
        stream = container.add_stream('libx264', rate=fps, options=dict(_OPTIONS))
        stream.width = stream.height = size
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.gop_size = fps
        # Without reordered frames every decoder seeks exactly.
        stream.codec_context.max_b_frames = 0
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode(None))
    os.replace(partial, path)
    return count
