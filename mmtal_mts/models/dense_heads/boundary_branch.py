"""Boundary pooling of one task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...ops import boundary_max_pooling_levels
from ..layers import ConvNormReLU1d


class BoundaryBranch(nn.Module):
    """Fine-grained feature of one task: BP in eq. 6 with AFSD's convolutions.

    Args:
        channels: Channels C'.
        num_groups: Groups of the group normalisation.
    """

    def __init__(self, channels: int, num_groups: int) -> None:
        super().__init__()
        self.own = ConvNormReLU1d(channels, channels, 1, 1, num_groups)
        self.level = ConvNormReLU1d(channels, 2 * channels, 1, 1, num_groups)
        self.frame = ConvNormReLU1d(channels, channels, 1, 1, num_groups)
        self.fuse = ConvNormReLU1d(4 * channels, channels, 1, 1, num_groups)

    def forward(
        self,
        feats: Sequence[Tensor],
        level_regions: Sequence[Tensor],
        pooled: Sequence[Tensor],
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Refines every level.

        Args:
            feats: f_loc or f_cls, L tensors (N, C', T_l).
            level_regions: L tensors (N, T_l, 4), boundary regions in cells.
            pooled: L tensors (N, C', T_l), the frame-level feature pooled around the
                boundaries.

        Returns:
            The fine-grained features, L tensors (N, C', T_l), and the boundary
            feature of the finest level (N, 2C', T_0) before it was pooled.
        """
        boundary = self.level.forward_levels(feats)
        on_level = boundary_max_pooling_levels(boundary, level_regions)
        parts = zip(
            self.frame.forward_levels(pooled),
            on_level,
            self.own.forward_levels(feats),
            strict=True,
        )
        refined = self.fuse.forward_levels([torch.cat(part, dim=1) for part in parts])
        return refined, boundary[0]
