"""Optical flow between consecutive frames, as uint8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import cv2
import mmcv
import numpy as np

from .video import ArrayReader, VideoReader, VideoReadError

FlowEstimator = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _tvl1() -> FlowEstimator:
    if not hasattr(getattr(cv2, 'optflow', None), 'DualTVL1OpticalFlow_create'):
        raise ImportError(
            'TV-L1 flow needs the contributed modules of OpenCV (cv2.optflow), which '
            'are not there. Remedy: python tools/misc/check_env.py --fix, or another '
            'flow method'
        )
    algorithm = cv2.optflow.DualTVL1OpticalFlow_create()
    return lambda first, second: algorithm.calc(first, second, None)


def _dis() -> FlowEstimator:
    algorithm = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return lambda first, second: algorithm.calc(first, second, None)


def _farneback() -> FlowEstimator:
    settings = dict(pyr_scale=0.5, levels=3, winsize=15, iterations=3, flags=0)
    settings.update(poly_n=5, poly_sigma=1.2)
    return partial(cv2.calcOpticalFlowFarneback, flow=None, **settings)


_METHODS = {'tvl1': _tvl1, 'dis': _dis, 'farneback': _farneback}
FLOW_METHODS = tuple(_METHODS)


def build_flow(method: str) -> FlowEstimator:
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
    if method not in _METHODS:
        raise ValueError(f'flow method must be one of {FLOW_METHODS}, got {method!r}')
    return _METHODS[method]()


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
        reader: VideoReader | ArrayReader,
        method: str = 'tvl1',
        bound: float = 20.0,
        prepare: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.reader = reader
        self._estimate = build_flow(method)
        self._bound = bound
        self._prepare = prepare
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def read(self, firsts: Sequence[int], seconds: Sequence[int]) -> list[np.ndarray]:
        """Returns the encoded movement from each frame to its successor.

        Args:
            firsts: (M,) source frames, ascending.
            seconds: (M,) the frame after each of them, ascending.

        Returns:
            At most M arrays (H, W, 2) uint8; fewer where the video ends early.

        Raises:
            VideoReadError: If the picture changes its size.
        """
        pairs = [(int(i), int(j)) for i, j in zip(firsts, seconds, strict=True)]
        needed = sorted({index for pair in pairs for index in pair})
        grey = dict(zip(needed, self.reader.read(needed, self._grey), strict=False))
        fields: dict[tuple[int, int], np.ndarray] = {}
        for first, second in dict.fromkeys(pairs):
            if second not in grey:
                break
            found = self._kept.get((first, second))
            if found is None:
                found = self._between(grey[first], grey[second])
            fields[first, second] = found
        self._kept = fields
        return [fields[pair] for pair in pairs if pair in fields]

    def still(self, index: int) -> list[np.ndarray]:
        """Returns the field of a frame that has no other one to move to."""
        grey = self.reader.read([index], self._grey)
        return [encode_flow(np.zeros((*g.shape, 2)), self._bound) for g in grey]

    def _grey(self, frame: np.ndarray) -> np.ndarray:
        if self._prepare is not None:
            frame = self._prepare(frame)
        return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)

    def _between(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        if first.shape != second.shape:
            raise VideoReadError(
                f'the picture changes its size from {first.shape} to {second.shape}, '
                'and flow needs frames of one size. Remedy: --frame-size'
            )
        return encode_flow(self._estimate(first, second), self._bound)
