"""Optical flow between consecutive frames, as uint8."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

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
    settings = dict(
        pyr_scale=0.5,
        levels=3,
        winsize=15,
        iterations=3,
        poly_n=5,
        poly_sigma=1.2,
        flags=0,
    )
    return lambda first, second: cv2.calcOpticalFlowFarneback(
        first, second, None, **settings
    )


_METHODS = {'tvl1': _tvl1, 'dis': _dis, 'farneback': _farneback}
FLOW_METHODS = tuple(_METHODS)


def build_flow(method: str) -> FlowEstimator:
    """Builds an estimator of dense optical flow.

    Args:
        method (str): 'tvl1' (what published flow models were trained on), 'dis' or
            'farneback' (coarser, but faster by two orders of magnitude).

    Returns:
        Callable: Takes two (H, W) uint8 grey images and returns the (H, W, 2) float32
        movement from the first to the second in pixels, x before y.

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
        flow (np.ndarray): (..., 2) pixels.
        bound (float): Largest movement that can be told, in pixels.

    Returns:
        np.ndarray: uint8 of the same shape; no motion is 128.
    """
    levels = (flow + bound) * (255 / (2 * bound))
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


def decode_flow(levels: np.ndarray, bound: float) -> np.ndarray:
    """Inverts :func:`encode_flow` up to half a level, ``bound / 255`` pixels.

    Args:
        levels (np.ndarray): (..., 2) uint8.
        bound (float): The bound it was encoded with.

    Returns:
        np.ndarray: (..., 2) float32 pixels.
    """
    return levels.astype(np.float32) * np.float32(2 * bound / 255) - np.float32(bound)


class FlowEncoder:
    """Turns a sequence of frames into as many encoded flow fields.

    Field k is the movement from frame k to frame k + 1; the last one is repeated. A
    single frame has no motion.

    Args:
        method (str): See :func:`build_flow`.
        bound (float): See :func:`encode_flow`.
    """

    def __init__(self, method: str = 'tvl1', bound: float = 20) -> None:
        self._estimate = build_flow(method)
        self._bound = bound
        self._previous: np.ndarray | None = None
        self._last: np.ndarray | None = None

    def push(self, frame: np.ndarray) -> np.ndarray | None:
        """Takes the next frame.

        Args:
            frame (np.ndarray): (H, W, 3) uint8 RGB.

        Returns:
            np.ndarray, optional: (H, W, 2) uint8 from the frame before to this one;
            None for the first frame.
        """
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        previous, self._previous = self._previous, grey
        if previous is None:
            return None
        self._last = encode_flow(self._estimate(previous, grey), self._bound)
        return self._last

    def finish(self) -> np.ndarray:
        """Returns the field of the last frame, of which there must have been one."""
        if self._last is None:
            self._last = encode_flow(np.zeros((*self._previous.shape, 2)), self._bound)
        return self._last
