"""The pyramid over the backbone maps (Sec. III-B), RFP, the frame-level feature."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import ConvNormReLU1d


class SpatialCollapse(nn.Module):
    """3-D convolution whose kernel is the whole map: (C, T, H, W) -> (C', T)."""

    def __init__(
        self, in_channels: int, out_channels: int, spatial_size: int, num_groups: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, (1, *[spatial_size] * 2))
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', T)."""
        # A kernel as large as the map is a matrix product over its cells, which is
        # ten times as fast as a convolution on a CPU.
        cells = x.transpose(1, 2).flatten(2)  # (N, T, C*H*W)
        sequence = F.linear(cells, self.conv.weight.flatten(1), self.conv.bias)
        return F.relu(self.norm(sequence.transpose(1, 2)))


@MODELS.register_module()
class TemporalPyramid(BaseModule):
    """Temporal feature pyramid over the backbone maps (Sec. III-B, following AFSD).

    The first levels are backbone maps whose space is collapsed by one convolution;
    the remaining levels halve the length of the level before.

    Args:
        in_channels: Channels of each backbone map, finest first.
        spatial_sizes: Side of each backbone map in cells: crop size over spatial
            stride, (6, 3) for Mixed_4f and Mixed_5c at 96 pixels.
        out_channels: Channels C' of every level.
        num_levels: Number L of levels.
        num_groups: Groups of the group normalisation.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (832, 1024),
        spatial_sizes: Sequence[int] = (6, 3),
        out_channels: int = 512,
        num_levels: int = 6,
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(spatial_sizes) or num_levels < len(in_channels):
            raise ValueError(
                f'TemporalPyramid: in_channels={list(in_channels)}, spatial_sizes='
                f'{list(spatial_sizes)} and num_levels={num_levels} do not fit: one '
                'size per map, and at least as many levels as maps'
            )
        self.in_channels = tuple(in_channels)
        self.spatial_sizes = tuple(spatial_sizes)
        self.num_levels = num_levels
        self.collapses = nn.ModuleList(
            SpatialCollapse(channels, out_channels, size, num_groups)
            for channels, size in zip(in_channels, spatial_sizes, strict=True)
        )
        self.downsamples = nn.ModuleList(
            ConvNormReLU1d(out_channels, out_channels, 3, 2, num_groups)
            for _ in range(num_levels - len(in_channels))
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Builds the levels.

        Args:
            feats: Backbone maps (N, C_i, T_i, H_i, W_i), finest first.

        Returns:
            L levels (N, C', T_l).

        Raises:
            ValueError: A map has other channels or another size than configured.
        """
        self._check(feats)
        pairs = zip(self.collapses, feats, strict=True)
        levels = [collapse(x) for collapse, x in pairs]
        for downsample in self.downsamples:
            levels.append(downsample(levels[-1]))
        return tuple(levels)

    def _check(self, feats: Sequence[Tensor]) -> None:
        if len(feats) != len(self.collapses):
            raise ValueError(
                f'the backbone returns {len(feats)} maps, TemporalPyramid is '
                f'configured for {len(self.collapses)}: let backbone.out_indices and '
                'neck.pyramid.in_channels agree'
            )
        for i, x in enumerate(feats):
            expected = (self.in_channels[i], self.spatial_sizes[i])
            if (x.shape[1], x.shape[3]) != expected or x.shape[3] != x.shape[4]:
                raise ValueError(
                    f'backbone map {i} has {x.shape[1]} channels and '
                    f'{x.shape[3]}x{x.shape[4]} cells, but neck.pyramid says '
                    f'in_channels[{i}]={expected[0]}, spatial_sizes[{i}]='
                    f'{expected[1]}; spatial_sizes is the crop size divided by the '
                    'spatial stride of the map (16 for Mixed_4f, 32 for Mixed_5c)'
                )


@MODELS.register_module()
class RefinedFeaturePyramid(BaseModule):
    """RFP: passes semantics from coarse levels to fine ones (Sec. III-B).

    Each level receives the one above it, ``f_l = p_l + nearest_up(p_{l+1})``, without
    parameters. ``num_merges=1`` adds level 1 into level 0 and nothing else, which is
    what the AFSD baseline does; ``num_merges=0`` leaves the pyramid as it is.

    Args:
        num_merges: How many of the finest levels receive the level above them.
            ``None`` merges all levels.
        cumulative: Pass on what has been received as well, top-down, as an FPN does:
            ``f_l = p_l + nearest_up(f_{l+1})``. The finest level is then the sum of
            all. The text of the paper allows both; docs/benchmark.md compares them.
    """

    def __init__(self, num_merges: int | None = None, cumulative: bool = False) -> None:
        super().__init__()
        if num_merges is not None and num_merges < 0:
            raise ValueError(f'num_merges={num_merges}: use None or a number >= 0')
        self.num_merges = num_merges
        self.cumulative = cumulative

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(N, C', T_l) per level, finest first -> the same shapes."""
        refined = list(levels)
        merges = len(levels) - 1
        if self.num_merges is not None:
            merges = min(merges, self.num_merges)
        for i in reversed(range(merges)):
            above = (refined if self.cumulative else levels)[i + 1]
            refined[i] = refined[i] + F.interpolate(above, size=refined[i].shape[-1])
        return tuple(refined)


@MODELS.register_module()
class FrameLevelFeature(BaseModule):
    """The frame-level feature f_a^c: the finest level, one column a frame.

    The paper says "linear interpolate" where AFSD takes the nearest position; both
    are offered. Three convolution units follow, as in AFSD.

    Args:
        channels: Channels C' of the pyramid.
        interpolation: ``'linear'`` or ``'nearest'``.
        num_groups: Groups of the group normalisation.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        channels: int = 512,
        interpolation: str = 'linear',
        num_groups: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if interpolation not in ('linear', 'nearest'):
            raise ValueError(
                f"interpolation={interpolation!r}: choose 'linear' or 'nearest'"
            )
        self.interpolation = interpolation
        self.units = nn.Sequential(
            ConvNormReLU1d(channels, channels, 3, 1, num_groups),
            ConvNormReLU1d(channels, channels, 3, 1, num_groups),
            ConvNormReLU1d(channels, channels, 1, 1, num_groups),
        )

    def forward(self, finest: Tensor, num_frames: int) -> Tensor:
        """(N, C', T_0) -> (N, C', T), T = ``num_frames``."""
        frames = F.interpolate(finest, size=num_frames, mode=self.interpolation)
        return self.units(frames)
