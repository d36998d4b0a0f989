"""Optical flow between consecutive frames of a video, as uint8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import cv2
import mmcv
import numpy as np

from .video import Prepare, VideoReader, VideoReadError

FLOW_METHODS = ('tvl1', 'dis', 'farneback')


def build_flow(method: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Builds an estimator of dense optical flow.

    Args:
        method: 'tvl1' (what published flow models were trained on), 'dis' or
            'farneback' (coarser, but faster by two orders of magnitude).

    Returns:
        Takes two (H, W) uint8 grey images and returns the (H, W, 2) float32 movement
        from the first to the second in pixels, x before y.

    Raises:
        ImportError: If OpenCV lacks the method.
        ValueError: If the method is unknown.
    """
    if method not in FLOW_METHODS:
        raise ValueError(f'flow method must be one of {FLOW_METHODS}, got {method!r}')
    if method == 'farneback':
        settings = dict(pyr_scale=0.5, levels=3, winsize=15, iterations=3, flags=0)
        settings.update(poly_n=5, poly_sigma=1.2)
        return partial(cv2.calcOpticalFlowFarneback, flow=None, **settings)
    if method == 'dis':
        algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    elif hasattr(getattr(cv2, 'optflow', None), 'DualTVL1OpticalFlow_create'):
        algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    else:
        raise ImportError(
            'TV-L1 flow needs the contributed modules of OpenCV (cv2.optflow), which '
            'are not there. Remedy: python tools/misc/check_env.py --fix, or another '
            'flow method'
        )
    return partial(algorithm.calc, flow=None)


def encode_flow(flow: np.ndarray, bound: float) -> np.ndarray:
    """Maps flow in [-bound, bound] to 0..255; what is beyond is cut off.

    Args:
        flow: (..., 2) pixels.
        bound: Largest movement that can be encoded, in pixels.

    Returns:
        uint8 of the same shape; no motion is 128.
    """
    levels = (flow + bound) * (255 / (2 * bound))
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


def scale_frame(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scales a uint8 frame, bicubic with antialiasing, as the published arrays were."""
    return mmcv.imresize(
        frame, (width, height), interpolation='bicubic', backend='pillow'
    )


def read_flow(
    reader: VideoReader,
    grey: Prepare,
    indices: np.ndarray,
    begin: int,
    count: int,
    method: str = 'tvl1',
    bound: float = 20.0,
) -> list[np.ndarray]:
    """Computes the encoded movement from sampled frames to the ones after them.

    The fields of one call are kept until the next one, which may share them, as
    overlapping windows do. The last field of a video is repeated. A single frame does
    not move.

    Args:
        reader: The video.
        grey: Makes a frame grey, and scales it if needed.
        indices: (M,) source frames of all sampled frames of the video, ascending.
        begin: First of the sampled frames.
        count: How many of them.
        method: See :func:`build_flow`.
        bound: See :func:`encode_flow`.

    Returns:
        Arrays (H, W, 2) uint8; fewer than ``count`` where the video ends early.

    Raises:
        VideoReadError: If the picture changes its size.
    """
    estimate = build_flow(method)
    indices = indices[max(min(begin, len(indices) - 2), 0) : begin + count + 1]
    needed = np.unique(indices).tolist()
    images = dict(zip(needed, reader.read(needed, grey), strict=False))
    if len(indices) == 1:
        still = (np.zeros((*image.shape, 2)) for image in images.values())
        return [encode_flow(flow, bound) for flow in still] * count
    known, reader.fields, fields = reader.fields, {}, []
    for pair in pairwise(indices.tolist()):
        if pair[1] not in images:
            return fields
        key = (grey, method, bound, *pair)
        if key not in known:
            first, second = (images[index] for index in pair)
            if first.shape != second.shape:
                raise VideoReadError(
                    f'the picture changes its size from {first.shape} to '
                    f'{second.shape}, and flow needs frames of one size. Remedy: '
                    '--frame-size'
                )
            known[key] = encode_flow(estimate(first, second), bound)
        reader.fields[key] = known[key]
        fields.append(known[key])
    return fields + fields[-1:] * (count - len(fields))
