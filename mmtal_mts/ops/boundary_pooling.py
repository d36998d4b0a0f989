"""Boundary max pooling of AFSD (BP in eq. 6) in vectorised torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def boundary_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """Maximum of the features over a start region and an end region per segment.

    The first half of the channels is pooled over the start region, the second half
    over the end region. Bounds are truncated towards zero and clamped to the map one
    by one; both ends belong to the region; a region whose end lies before its start
    is the single position of its start. The gradient goes to the first maximum. There
    is no gradient for the segments. NaN wins a maximum, as in :func:`torch.max`.

    The indices of the maxima come from a sparse table (one row per power of two),
    so the cost per segment does not depend on its length.

    Args:
        features: (N, C, T) with an even C.
        segments: (N, S, 4) start region (first, last) and end region (first, last)
            in positions of the map; any number S, also 0.

    Returns:
        (N, C, S).

    Raises:
        ValueError: The shapes do not fit, C is odd, or T is 0.
    """
    _check(features, segments)
    n, channels, length = features.shape
    with torch.no_grad():
        # Starts and ends side by side: (2N, C/2, T) and (2N, S, 2).
        halves = features.detach().reshape(2 * n, channels // 2, length)
        bounds = _clamp(segments, length).unflatten(-1, (2, 2))
        bounds = bounds.transpose(1, 2).flatten(0, 1)
        index = _argmax_over_ranges(halves, bounds).reshape(
            n, channels, segments.shape[1]
        )
    return features.gather(2, index)


def boundary_max_pooling_levels(
    levels: Sequence[Tensor], segments: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """:func:`boundary_max_pooling` on every level of a pyramid in one call.

    Args:
        levels: L tensors (N, C, T_l).
        segments: L tensors (N, S_l, 4) in cells of their level.

    Returns:
        L tensors (N, C, S_l).
    """
    joined, offset = [], 0
    for level, regions in zip(levels, segments):
        _check(level, regions)
        # Clamped to its level, no region reaches into a neighbour.
        joined.append(_clamp(regions, level.shape[2]) + offset)
        offset += level.shape[2]
    pooled = boundary_max_pooling(torch.cat(list(levels), 2), torch.cat(joined, 1))
    return pooled.split([regions.shape[1] for regions in segments], dim=2)


def _check(features: Tensor, segments: Tensor) -> None:
    if features.ndim != 3 or features.shape[1] % 2 or features.shape[2] == 0:
        raise ValueError(
            f'features has shape {tuple(features.shape)}; expected (N, C, T) with an '
            'even C and T >= 1'
        )
    if (
        segments.ndim != 3
        or segments.shape[2] != 4
        or segments.shape[0] != features.shape[0]
    ):
        raise ValueError(
            f'segments has shape {tuple(segments.shape)}; expected '
            f'({features.shape[0]}, S, 4)'
        )


def _clamp(segments: Tensor, length: int) -> Tensor:
    """Bounds as int64 within 0..length-1, truncated towards zero."""
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
