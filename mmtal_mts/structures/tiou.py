"""Temporal IoU of segments in numpy, for what runs outside a network."""

from __future__ import annotations

import numpy as np


def pairwise_tiou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Temporal intersection over union of every segment of ``a`` with ``b``.

    A segment without a positive length (its end at or before its start) overlaps
    nothing: its tIoU is 0 with everything, itself included, and never NaN.

    Args:
        a (np.ndarray): Segments (A, 2) as start, end, in any one unit of time.
        b (np.ndarray): Segments (B, 2) in the same unit.

    Returns:
        np.ndarray: tIoU (A, B), float64, in [0, 1].
    """
    a = np.asarray(a, dtype=np.float64).reshape(-1, 2)
    b = np.asarray(b, dtype=np.float64).reshape(-1, 2)
    return _tiou(a[:, None], b[None, :])


def aligned_tiou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """:func:`pairwise_tiou`, but of each segment of ``a`` with its partner in ``b``.

    Args:
        a (np.ndarray): Segments (A, 2) as start, end, in any one unit of time.
        b (np.ndarray): Segments (A, 2) in the same unit.

    Returns:
        np.ndarray: tIoU (A,), float64, in [0, 1].
    """
    return _tiou(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))


def _tiou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """tIoU of segments (..., 2) that broadcast."""
    left = np.maximum(a[..., 0], b[..., 0])
    right = np.minimum(a[..., 1], b[..., 1])
    overlap = np.maximum(right - left, 0.0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - overlap
    # A positive overlap implies two positive lengths, hence a positive union.
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=overlap > 0)
