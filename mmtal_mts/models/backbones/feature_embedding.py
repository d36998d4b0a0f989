"""Features of an earlier extraction in the place of a backbone."""

from __future__ import annotations

from itertools import pairwise

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import ConvNormReLU1d
from .backbone_adapter import MapFacts


@MODELS.register_module()
class FeatureEmbedding(BaseModule):
    """Stands where the backbone is when its features were extracted beforehand.

    Convolutions over time bring the features to the width of the pyramid, whose
    finest level has a position per row.

    Args:
        in_channels: Channels C of the features, of all streams together.
        out_channels: Channels C' of the pyramid.
        num_convs: Convolution units.
        num_groups: Groups of the group normalisation.
        dropout: Share of the channels of a window that training leaves out.
        init_cfg: MMEngine initialisation config.

    Attributes:
        maps (tuple[MapFacts]): What :meth:`forward` returns.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 512,
        num_convs: int = 2,
        num_groups: int = 32,
        dropout: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_convs < 1:
            raise ValueError(f'num_convs={num_convs} of FeatureEmbedding: use >= 1')
        self.in_channels = in_channels
        self.dropout = nn.Dropout1d(dropout)
        widths = pairwise([in_channels] + [out_channels] * num_convs)
        self.units = nn.Sequential(
            *(ConvNormReLU1d(a, b, num_groups=num_groups) for a, b in widths)
        )
        self.maps = (MapFacts(out_channels, 1, 1),)

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """(N, C, T, 1, 1) features -> one map (N, C', T, 1, 1).

        Raises:
            ValueError: The features have other channels than configured.
        """
        if features.shape[1] != self.in_channels or features.shape[3:] != (1, 1):
            raise ValueError(
                f'inputs have shape {tuple(features.shape)}, but FeatureEmbedding '
                f'takes features of {self.in_channels} channels: let '
                'backbone.in_channels and LoadFeatures.channels agree with the files'
            )
        return (self.units(self.dropout(features.flatten(2)))[..., None, None],)
