"""Boundary max pooling of AFSD (BP in eq. 6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .compiled import compiled_max_pooling, takes_compiled
from .vectorized_pooling import clamp_bounds, vectorized_max_pooling


def boundary_max_pooling(features: Tensor, segments: Tensor) -> Tensor:
    """Maximum of the features over a start region and an end region per segment.

    The first half of the channels is pooled over the start region, the second half
    over the end region. Bounds are truncated towards zero and clamped to the map one
    by one; both ends belong to the region; a region whose end lies before its start
    is the single position of its start. The gradient goes to the first maximum. There
    is no gradient for the segments. NaN wins a maximum, as in :func:`torch.max`.

    Runs compiled where the operators were built for the device
    (:func:`~mmtal_mts.ops.compiled_ops_problem` tells), else in vectorised torch, with
    the same results.

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
    for level, regions in zip(levels, segments):
        _check(level, regions)
        # Clamped to its level, no region reaches into a neighbour.
        joined.append(clamp_bounds(regions, level.shape[2]) + offset)
        offset += level.shape[2]
    pooled = vectorized_max_pooling(torch.cat(list(levels), 2), torch.cat(joined, 1))
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
