"""STT."""

from __future__ import annotations

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import ConvNormReLU1d, FramePatchEmbedding, transformer_encoder


@MODELS.register_module()
class SpatialTemporalTransformer(BaseModule):
    """STT: long-range context of the raw frames at every level (eq. 1).

    A factorised encoder: spatial attention among the patches of a frame, their mean
    as the frame's token, temporal attention among the frames, a linear layer, and
    stride-2 convolutions down to the lengths of the pyramid. The paper gives neither
    depth nor width: one layer each and E = 512 are the smallest reading of eq. 1.

    Args:
        clip_len: Frames T of a clip.
        crop_size: Side of the frames in pixels.
        first_stride: Frames per position of the finest level; a power of two.
        num_levels: Number L of levels.
        in_channels: Channels of a frame.
        embed_dims: Channels E of a token.
        out_channels: Channels C' of the pyramid.
        patch_size: Side D of a patch in pixels.
        num_heads: Attention heads.
        spatial_depth: Spatial encoder layers.
        temporal_depth: Temporal encoder layers.
        mlp_ratio: Width of the optional MLP over E; 0 as in eq. 1.
        dropout: Dropout inside the encoder layers.
        cosine: See :class:`~mmtal_mts.models.layers.transformer.SelfAttention`.
        final_norm: Whether a LayerNorm follows each encoder, as in ViT.
        num_groups: Groups of the group normalisation.
        own_embedding: Whether it embeds the patches itself, linearly (eq. 1), or reads
            the tokens of the neck. The detector sets it.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        clip_len: int = 256,
        crop_size: int = 96,
        first_stride: int = 4,
        num_levels: int = 6,
        in_channels: int = 3,
        embed_dims: int = 512,
        out_channels: int = 512,
        patch_size: int = 24,
        num_heads: int = 8,
        spatial_depth: int = 1,
        temporal_depth: int = 1,
        mlp_ratio: float = 0.0,
        dropout: float = 0.0,
        cosine: bool = False,
        final_norm: bool = False,
        num_groups: int = 32,
        own_embedding: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        halvings = first_stride.bit_length() - 1
        if first_stride < 1 or 2**halvings != first_stride:
            raise ValueError(f'first_stride={first_stride} must be a power of two')
        self.clip_len = clip_len
        self.num_levels = num_levels
        self.patch_embedding = None
        if own_embedding:
            self.patch_embedding = FramePatchEmbedding(
                patch_size, crop_size, in_channels, embed_dims
            )
        encoder = (embed_dims, num_heads, mlp_ratio, dropout, cosine, final_norm)
        self.spatial_encoder = transformer_encoder(spatial_depth, *encoder)
        self.temporal_position = nn.Parameter(torch.zeros(clip_len, embed_dims))
        nn.init.trunc_normal_(self.temporal_position, std=0.02)
        self.temporal_encoder = transformer_encoder(temporal_depth, *encoder)
        self.linear = nn.Linear(embed_dims, out_channels)
        self.downsamples = nn.ModuleList(
            ConvNormReLU1d(out_channels, out_channels, 3, 2, num_groups)
            for _ in range(halvings + num_levels - 1)
        )

    def forward(
        self, frames: Tensor, tokens: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Encodes the clip.

        Args:
            frames: (N, C, T, H, W) normalised frames.
            tokens: (N, T, Z, E) tokens of the neck, read without an own embedding.

        Returns:
            f_l: L sequences (N, C', T_l).

        Raises:
            ValueError: The clip is longer or shorter than ``clip_len``.
        """
        if frames.shape[2] != self.clip_len:
            raise ValueError(
                f'the clip has {frames.shape[2]} frames, but clip_len='
                f'{self.clip_len} was configured for the spatial-temporal transformer'
            )
        if self.patch_embedding is not None:
            tokens = self.patch_embedding(frames)
        n, t = tokens.shape[:2]
        tokens = self.spatial_encoder(tokens.flatten(0, 1))  # (N*T, Z, E)
        sequence = tokens.mean(dim=1).unflatten(0, (n, t))  # (N, T, E)
        sequence = self.temporal_encoder(sequence + self.temporal_position)
        x = self.linear(sequence).transpose(1, 2)  # (N, C', T)
        sequences = [x]
        for downsample in self.downsamples:
            sequences.append(downsample(sequences[-1]))
        return tuple(sequences[-self.num_levels :])
