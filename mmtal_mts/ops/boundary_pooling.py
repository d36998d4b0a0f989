"""Boundary max pooling of AFSD (BP in eq. 6): compiled, or vectorised in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .compiled import compiled_ops_problem, takes_compiled

Pair = tuple[Tensor, Tensor]


def boundary_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """Maximum of the features over a start region and an end region per segment.

    The first half of the channels is pooled over the start region, the second half
    over the end region. Bounds are truncated towards zero and clamped to the map one
    by one; both ends belong to the region; a region whose end lies before its start
    is the single position of its start. The gradient goes to the first maximum. There
    is no gradient for the segments. NaN wins a maximum, as in :func:`torch.max`.

    Runs compiled where the operators were built for the device (see
    :func:`~mmtal_mts.ops.compiled_ops_problem`), else in torch, with the same results.

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
    if takes_compiled(features):
        return compiled_max_pooling(features, segments)
    return vectorized_max_pooling(features, segments)


def boundary_max_pooling_levels(
    levels: Sequence[Tensor], segments: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """:func:`boundary_max_pooling` on every level of a pyramid.

    Args:
        levels: L tensors (N, C, T_l).
        segments: L tensors (N, S_l, 4) in cells of their level.

    Returns:
        L tensors (N, C, S_l).
    """
    if all(takes_compiled(level) for level in levels):
        return tuple(map(boundary_max_pooling, levels, segments))
    # In torch a call costs more than a short level: all levels in one.
    joined, offset = [], 0
    for level, regions in zip(levels, segments, strict=True):
        _check(level, regions)
        # Clamped to its level, no region reaches into a neighbour.
        joined.append(_clamp_bounds(regions, level.shape[2]) + offset)
        offset += level.shape[2]
    pooled = vectorized_max_pooling(torch.cat(list(levels), 2), torch.cat(joined, 1))
    return pooled.split([regions.shape[1] for regions in segments], dim=2)


def _check(features: Tensor, segments: Tensor) -> None:
    if features.ndim != 3 or features.shape[1] % 2 or features.shape[2] == 0:
        raise ValueError(
            f'features has shape {tuple(features.shape)}; expected (N, C, T) with an '
            'even C and T >= 1'
        )
    if segments.ndim != 3 or segments.shape[::2] != (features.shape[0], 4):
        raise ValueError(
            f'segments has shape {tuple(segments.shape)}; expected '
            f'({features.shape[0]}, S, 4)'
        )


def compiled_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """:func:`boundary_max_pooling`, compiled, for shapes that were checked."""
    return torch.ops.mmtal_mts.boundary_max_pooling(features, segments)[0]


def vectorized_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """:func:`boundary_max_pooling` in torch, for shapes that were checked.

    A sparse table holds the maxima over 1, 2, 4, ... positions from each position on;
    two of them cover any range, so the cost per segment does not depend on its length.
    """
    n, channels = features.shape[:2]
    length = int(features.shape[2])  # a tensor while torch.jit traces
    # Starts and ends side by side: (2N, C/2, T) and (2N, S, 2).
    halves = features.reshape(2 * n, channels // 2, length)
    bounds = _clamp_bounds(segments, length).unflatten(-1, (2, 2))
    first, second = (
        place[:, None].expand(-1, channels // 2, -1)
        for place in _places_in_table(bounds.transpose(1, 2).flatten(0, 1), length)
    )
    shape = (n, channels, segments.shape[1])
    if torch.is_grad_enabled() and features.requires_grad:
        with torch.no_grad():
            index = _first_maxima(halves, first, second)
        return features.gather(2, index.reshape(shape))
    # Without gradients it does not matter which maximum is the first.
    rows = [halves]
    for k in range(length.bit_length() - 1):
        rows.append(torch.maximum(*_neighbours(rows[-1], 2**k)))
    table = torch.cat(rows, dim=2)
    pooled = torch.maximum(table.gather(2, first), table.gather(2, second))
    return pooled.reshape(shape)


def _clamp_bounds(segments: Tensor, length: int) -> Tensor:
    """Bounds as int64 within 0..length-1, truncated towards zero; NaN is 0."""
    # Clamping first keeps infinities and huge floats inside int64; it commutes with
    # the truncation because the limits are integers.
    bounds = torch.nan_to_num(segments.detach().double())
    return bounds.clamp(0, length - 1).long()


def _places_in_table(bounds: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Places (B, S) of the two blocks that cover each range of ``bounds`` (B, S, 2).

    The first block is flush with the first position, the second with the last.
    """
    left, right = bounds.unbind(-1)
    right = torch.maximum(left, right)
    size, row = torch.ones_like(left), torch.zeros_like(left)
    for k in range(1, length.bit_length()):
        # Row k - 1 of the table, with length - 2**(k - 1) + 1 entries, is skipped.
        longer = right - left + 1 >= 2**k
        row = row + longer * (length - 2 ** (k - 1) + 1)
        size = torch.where(longer, 2**k, size)
    return row + left, row + right + 1 - size


def _neighbours(block: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Pairs of neighbouring blocks of ``size`` positions."""
    count = block.shape[2] - size
    return block.narrow(2, 0, count), block.narrow(2, size, count)


def _first_maxima(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Position (B, C, S) of the first maximum of each range of ``x`` (B, C, T).

    ``first`` and ``second`` (B, C, S) are the places in the table of its two blocks.
    """

    def best(a: Pair, b: Pair) -> Pair:
        """Values and positions; of equal values, and of NaN, those of ``a``."""
        keep = (a[0] >= b[0]) | (a[0] != a[0])
        return torch.where(keep, a[0], b[0]), torch.where(keep, a[1], b[1])

    length = int(x.shape[2])
    positions = torch.arange(length, device=x.device, dtype=torch.int32)
    rows = [(x, positions.expand_as(x))]
    for k in range(length.bit_length() - 1):
        values, places = (_neighbours(part, 2**k) for part in rows[-1])
        rows.append(best(*zip(values, places, strict=True)))
    value, place = (torch.cat(parts, dim=2) for parts in zip(*rows, strict=True))
    blocks = [(value.gather(2, at), place.gather(2, at)) for at in (first, second)]
    return best(*blocks)[1].long()


def _register_with_torch() -> None:
    """Shapes and gradient of the compiled operator."""
    name = 'mmtal_mts::boundary_max_pooling'

    def shapes(features: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
        values = features.new_empty(*features.shape[:2], segments.shape[1])
        return values, torch.empty_like(values, dtype=torch.int32)

    def save(ctx, inputs, output) -> None:
        ctx.save_for_backward(output[1])
        ctx.length = inputs[0].shape[2]

    def backward(ctx, grad: Tensor, _grad_index: None) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        # Half precision adds up in float.
        dtype = torch.promote_types(grad.dtype, torch.float32)
        total = grad.new_zeros((*grad.shape[:2], ctx.length), dtype=dtype)
        total = total.scatter_add(2, index.long(), grad.to(dtype))
        return total.to(grad.dtype), None

    torch.library.register_fake(name, shapes)
    torch.library.register_autograd(name, backward, setup_context=save)


if compiled_ops_problem() is None:
    _register_with_torch()
