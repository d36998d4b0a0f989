"""What the heads hand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class CoarseOutputs(NamedTuple):
    """Output of the coarse head, level by level.

    Attributes:
        loc_feats: f_loc, L tensors (N, C', T_l).
        cls_feats: f_cls, L tensors (N, C', T_l).
        distances: L tensors (N, T_l, 2) in sampled frames.
        logits: L tensors (N, T_l, K+1), background last; (N, T_l, K) with a loss over
            sigmoids.
        level_points: L tensors (T_l,) location centres in sampled frames.
    """

    loc_feats: tuple[Tensor, ...]
    cls_feats: tuple[Tensor, ...]
    distances: tuple[Tensor, ...]
    logits: tuple[Tensor, ...]
    level_points: Sequence[Tensor] = ()


class BoundaryFeatures(NamedTuple):
    """Features that boundary pooling reads, before it.

    In each, the first half of the channels stands for starts, the second for ends.

    Attributes:
        frame_level: f_a (N, C', T).
        loc: Finest level of the localisation branch (N, 2C', T_0).
        cls: Finest level of the classification branch (N, 2C', T_0).
    """

    frame_level: Tensor
    loc: Tensor
    cls: Tensor


class RefineOutputs(NamedTuple):
    """Output of the refine head over all P locations.

    Attributes:
        offsets: (N, P, 2) change of the coarse distances in units of half the coarse
            length.
        logits: (N, P, K+1), background last; (N, P, K) with a loss over sigmoids.
        quality_logits: (N, P).
        boundary: Features for the optional boundary loss.
    """

    offsets: Tensor
    logits: Tensor
    quality_logits: Tensor
    boundary: BoundaryFeatures | None = None


RAW_OUTPUTS = (
    'points',
    'coarse_distances',
    'coarse_logits',
    'refine_offsets',
    'refine_logits',
    'quality_logits',
)
"""Names of the :func:`raw_outputs`; all but the points have a batch dimension."""


def raw_outputs(coarse: CoarseOutputs, refined: RefineOutputs) -> dict[str, Tensor]:
    """What both heads say, all levels joined.

    Returns:
        ``points`` (P,) location centres in sampled frames, ``coarse_distances``
        (N, P, 2) in sampled frames, ``coarse_logits`` (N, P, K+1), ``refine_offsets``
        (N, P, 2), ``refine_logits`` (N, P, K+1), ``quality_logits`` (N, P); K instead
        of K+1 where the classification losses work on sigmoids.
    """
    values = (
        torch.cat(list(coarse.level_points)),
        torch.cat(coarse.distances, dim=1),
        torch.cat(coarse.logits, dim=1),
        refined.offsets,
        refined.logits,
        refined.quality_logits,
    )
    return dict(zip(RAW_OUTPUTS, values, strict=True))
