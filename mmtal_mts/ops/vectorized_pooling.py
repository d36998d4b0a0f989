"""Boundary max pooling in vectorised torch: any device, dtype and exporter."""

from __future__ import annotations

import torch
from torch import Tensor


def vectorized_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """:func:`mmtal_mts.ops.boundary_max_pooling` for shapes that were checked.

    A sparse table holds the maxima over 1, 2, 4, ... positions from each position on;
    two of them cover any range, so the cost per segment does not depend on its length.

    Args:
        features: (N, C, T).
        segments: (N, S, 4).

    Returns:
        (N, C, S).
    """
    n, channels = features.shape[:2]
    # The table depends on the length, which is a tensor while torch.jit traces.
    length = int(features.shape[2])
    # Starts and ends side by side: (2N, C/2, T) and (2N, S, 2).
    halves = features.reshape(2 * n, channels // 2, length)
    bounds = clamp_bounds(segments, length).unflatten(-1, (2, 2))
    first, second = (
        place[:, None].expand(-1, channels // 2, -1)
        for place in _places_in_table(bounds.transpose(1, 2).flatten(0, 1), length)
    )
    shape = (n, channels, segments.shape[1])
    if torch.is_grad_enabled() and features.requires_grad:
        with torch.no_grad():
            index = _first_maxima(halves, first, second)
        return features.gather(2, index.reshape(shape))
    # Where nobody asks for gradients, it does not matter which maximum is the first.
    table = _table_of_maxima(halves)
    pooled = torch.maximum(table.gather(2, first), table.gather(2, second))
    return pooled.reshape(shape)


def clamp_bounds(segments: Tensor, length: int) -> Tensor:
    """Bounds as int64 within 0..length-1, truncated towards zero; NaN is 0."""
    # Clamping first keeps infinities and huge floats inside int64; it commutes with
    # the truncation because the limits are integers.
    bounds = torch.nan_to_num(segments.detach().double())
    return bounds.clamp(0, length - 1).long()


def _places_in_table(bounds: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Where the table holds the two blocks that cover each range.

    Args:
        bounds: (B, S, 2) int64 first and last position.
        length: Length T of a row.

    Returns:
        Two tensors (B, S): the block flush with the first position, and the one flush
        with the last.
    """
    left, right = bounds.unbind(-1)
    right = torch.maximum(left, right)
    size = torch.ones_like(left)
    row = torch.zeros_like(left)
    for k in range(1, length.bit_length()):
        # Row k - 1 of the table, with length - 2**(k - 1) + 1 entries, is skipped.
        longer = right - left + 1 >= 2**k
        row = row + longer * (length - 2 ** (k - 1) + 1)
        size = torch.where(longer, 2**k, size)
    return row + left, row + right + 1 - size


def _halves_of_blocks(block: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pairs of neighbouring blocks of ``size`` positions."""
    count = block.shape[2] - size
    return block.narrow(2, 0, count), block.narrow(2, size, count)


def _table_of_maxima(x: Tensor) -> Tensor:
    """All rows of the table, one after the other: (B, C, T) -> (B, C, entries)."""
    rows = [x]
    for k in range(int(x.shape[2]).bit_length() - 1):
        rows.append(torch.maximum(*_halves_of_blocks(rows[-1], 2**k)))
    return torch.cat(rows, dim=2)


def _first_maxima(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Position of the first maximum of each range.

    Args:
        x: (B, C, T).
        first: (B, C, S) place in the table of a block that covers the range.
        second: (B, C, S) place of the other one.

    Returns:
        (B, C, S) int64.
    """
    length = int(x.shape[2])
    positions = torch.arange(length, device=x.device, dtype=torch.int32)
    values, indices = [x], [positions.expand_as(x)]
    for k in range(length.bit_length() - 1):
        a, b = _halves_of_blocks(values[-1], 2**k)
        index_a, index_b = _halves_of_blocks(indices[-1], 2**k)
        keep = _is_first(a, b)
        values.append(torch.where(keep, a, b))
        indices.append(torch.where(keep, index_a, index_b))
    value, index = torch.cat(values, dim=2), torch.cat(indices, dim=2)
    keep = _is_first(value.gather(2, first), value.gather(2, second))
    return torch.where(keep, index.gather(2, first), index.gather(2, second)).long()


def _is_first(a: Tensor, b: Tensor) -> Tensor:
    """Whether ``a``, which comes first, is the maximum of both; NaN is."""
    return (a >= b) | (a != a)
