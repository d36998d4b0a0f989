"""Optical flow between consecutive frames of a video, as uint8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise, takewhile

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


class FlowReader:
    """Computes the flow between frames of a video, each pair of frames once.

    The fields of one call are kept until the next one, which may share them, as
    overlapping windows do.

    Args:
        reader: The video.
        method: See :func:`build_flow`.
        bound: See :func:`encode_flow`.
        prepare: What is done to a frame before, e.g. to scale it.
    """

    def __init__(
        self,
        reader: VideoReader,
        method: str = 'tvl1',
        bound: float = 20.0,
        prepare: Prepare | None = None,
    ) -> None:
        self.reader = reader
        self._estimate = build_flow(method)
        self._bound = bound
        self._prepare = prepare
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def read(self, indices: np.ndarray, begin: int, count: int) -> list[np.ndarray]:
        """Returns the encoded movement from sampled frames to the ones after them.

        The last field of a video is repeated. A single frame does not move.

        Args:
            indices: (M,) source frames of all sampled frames of the video, ascending.
            begin: First of the sampled frames.
            count: How many of them.

        Returns:
            Arrays (H, W, 2) uint8; fewer than ``count`` where the video ends early.

        Raises:
            VideoReadError: If the picture changes its size.
        """
        first = max(min(begin, len(indices) - 2), 0)
        indices = np.asarray(indices)[first : begin + count + 1]
        needed = np.unique(indices).tolist()
        images = dict(zip(needed, self.reader.read(needed, self._grey), strict=False))
        pairs = list(pairwise(indices.tolist()))
        whole = list(takewhile(lambda pair: pair[1] in images, pairs))
        known, self._kept = self._kept, {}
        for first, second in whole:
            field = known.get((first, second))
            if field is None:
                shapes = images[first].shape, images[second].shape
                if shapes[0] != shapes[1]:
                    raise VideoReadError(
                        f'the picture changes its size from {shapes[0]} to {shapes[1]},'
                        ' and flow needs frames of one size. Remedy: --frame-size'
                    )
                flow = self._estimate(images[first], images[second])
                field = known[first, second] = encode_flow(flow, self._bound)
            self._kept[first, second] = field
        fields = [self._kept[pair] for pair in whole]
        if not pairs:
            still = (np.zeros((*image.shape, 2)) for image in images.values())
            fields = [encode_flow(flow, self._bound) for flow in still]
        missing = count - len(fields) if len(whole) == len(pairs) else 0
        return fields + fields[-1:] * missing

    def _grey(self, frame: np.ndarray) -> np.ndarray:
        if self._prepare is not None:
            frame = self._prepare(frame)
        return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
