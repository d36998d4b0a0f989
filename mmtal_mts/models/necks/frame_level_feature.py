from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import ConvNormReLU1d


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
