"""Boundary max pooling in vectorised torch: any device, dtype and exporter."""

from __future__ import annotations

import torch
from torch import Tensor


def vectorized_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """:func:`mmtal_mts.ops.boundary_max_pooling` for shapes that were checked.

    The indices of the maxima come from a sparse table (one row per power of two),
    so the cost per segment does not depend on its length.

    Args:
        features: (N, C, T).
        segments: (N, S, 4).

    Returns:
        (N, C, S).
    """
    n, channels, length = features.shape
    with torch.no_grad():
        # Starts and ends side by side: (2N, C/2, T) and (2N, S, 2).
        halves = features.detach().reshape(2 * n, channels // 2, length)
        bounds = clamp_bounds(segments, length).unflatten(-1, (2, 2))
        bounds = bounds.transpose(1, 2).flatten(0, 1)
        index = _argmax_over_ranges(halves, bounds).reshape(
            n, channels, segments.shape[1]
        )
    return features.gather(2, index)


def clamp_bounds(segments: Tensor, length: int) -> Tensor:
    """Bounds as int64 within 0..length-1, truncated towards zero; NaN is 0."""
    # Clamping first keeps infinities and huge floats inside int64; it commutes with
    # the truncation because the limits are integers.
    bounds = torch.nan_to_num(segments.detach().double())
    return bounds.clamp(0, length - 1).long()


def _argmax_over_ranges(x: Tensor, bounds: Tensor) -> Tensor:
    """Index of the first maximum of every row of ``x`` over inclusive ranges.

    Args:
        x: (B, C, T).
        bounds: (B, S, 2) int64 first and last position within the row.

    Returns:
        (B, C, S) int64.
    """
    length = x.shape[2]
    left, right = bounds.unbind(-1)
    right = torch.maximum(left, right)

    # Row k holds the maximum over 2**k positions from each position on. The rolls
    # wrap around at the end of a row, where no range ever looks.
    values, indices = [x], [torch.arange(length, device=x.device).expand_as(x)]
    for k in range(length.bit_length() - 1):
        value, index = values[-1], indices[-1]
        other, other_index = value.roll(-(2**k), -1), index.roll(-(2**k), -1)
        keep = (value >= other) | value.isnan()
        values.append(torch.where(keep, value, other))
        indices.append(torch.where(keep, index, other_index))
    value, index = torch.cat(values, -1), torch.cat(indices, -1)

    # Two blocks of 2**power positions, flush with either end, cover the range.
    power = torch.zeros_like(left)
    for k in range(1, len(values)):
        power += (right - left + 1 >= 2**k).long()
    row = power * length
    first, second = (
        (row + at)[:, None].expand(-1, x.shape[1], -1)
        for at in (left, right + 1 - 2**power)
    )
    a, b = value.gather(2, first), value.gather(2, second)
    keep = (a >= b) | a.isnan()
    return torch.where(keep, index.gather(2, first), index.gather(2, second))
