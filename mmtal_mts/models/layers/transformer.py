"""FSA (eq. 5), and the two pieces that it and STT (eq. 1) are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


class FramePatchEmbedding(nn.Module):
    """Cuts every frame into D x D patches, projects them and adds their position.

    Args:
        patch_size: Side D of a patch in pixels.
        crop_size: Side of the square frames in pixels; a multiple of ``patch_size``.
        in_channels: Channels of a frame (3 RGB, 2 flow).
        embed_dims: Channels E of a token.

    Raises:
        ValueError: ``crop_size`` is no multiple of ``patch_size``.
    """

    def __init__(
        self, patch_size: int, crop_size: int, in_channels: int, embed_dims: int
    ) -> None:
        super().__init__()
        if crop_size % patch_size:
            raise ValueError(
                f'patch_size={patch_size} does not divide crop_size={crop_size}; '
                'choose a divisor of the crop (for 96: 16, 24, 32, 48 or 96)'
            )
        self.patch_size = patch_size
        self.crop_size = crop_size
        num_patches = (crop_size // patch_size) ** 2
        self.projection = nn.Linear(in_channels * patch_size**2, embed_dims)
        self.position = nn.Parameter(torch.zeros(num_patches, embed_dims))
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, frames: Tensor) -> Tensor:
        """Embeds the patches of every frame.

        Args:
            frames: (N, C, T, H, W) normalised frames.

        Returns:
            (N, T, Z, E) tokens, Z patches a frame.

        Raises:
            ValueError: The frames are not ``crop_size`` on a side.
        """
        n, c, t, h, w = frames.shape
        if (h, w) != (self.crop_size, self.crop_size):
            raise ValueError(
                f'frames are {h}x{w} pixels, but crop_size={self.crop_size} was '
                'configured; let crop_size of the neck and the refine head agree '
                "with the pipeline's crop"
            )
        d = self.patch_size
        patches = frames.reshape(n, c, t, h // d, d, w // d, d)
        patches = patches.permute(0, 2, 3, 5, 1, 4, 6)  # (N, T, H/D, W/D, C, D, D)
        return self.projection(patches.reshape(n, t, -1, c * d * d)) + self.position


def plain_attention(attention: nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    """What a layer in testing mode returns, in operators that ONNX knows.

    Its batch size is free: (B, Z, E) -> (B, Z, E).
    """
    heads = attention.num_heads
    joined = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    # (B, Z, 3E) -> three of (B, heads, Z, E / heads)
    query, key, value = (
        part.unflatten(2, (heads, attention.head_dim)).transpose(1, 2)
        for part in joined.chunk(3, dim=2)
    )
    weights = (query @ key.transpose(2, 3) / attention.head_dim**0.5).softmax(-1)
    return attention.out_proj((weights @ value).transpose(1, 2).flatten(2))


class TransformerEncoderLayer(nn.Module):
    """Pre-norm multi-headed self attention with a residual; MLP on request.

    The paper writes MSA(LN(x)) and no MLP (eq. 1), so ``mlp_ratio`` is 0 by default.

    Args:
        embed_dims: Channels E of a token.
        num_heads: Attention heads; must divide ``embed_dims``.
        mlp_ratio: Hidden width of the MLP over E; 0 leaves the MLP out.
        dropout: Dropout on the attention weights and in the MLP.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int = 8,
        mlp_ratio: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(embed_dims)
        self.attention = nn.MultiheadAttention(
            embed_dims, num_heads, dropout=dropout, batch_first=True
        )
        self.mlp = None
        if mlp_ratio > 0:
            hidden = int(embed_dims * mlp_ratio)
            self.mlp = nn.Sequential(
                nn.LayerNorm(embed_dims),
                nn.Linear(embed_dims, hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, embed_dims),
            )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, Z, E) -> (B, Z, E)."""
        normed = self.attention_norm(tokens)
        if torch.onnx.is_in_onnx_export():
            attended = plain_attention(self.attention, normed)
        else:
            attended, _ = self.attention(normed, normed, normed, need_weights=False)
        tokens = tokens + attended
        return tokens if self.mlp is None else tokens + self.mlp(tokens)


def transformer_encoder(
    depth: int, embed_dims: int, num_heads: int, mlp_ratio: float, dropout: float
) -> nn.Sequential:
    """``depth`` layers in a row, see :class:`TransformerEncoderLayer`."""
    options = (embed_dims, num_heads, mlp_ratio, dropout)
    return nn.Sequential(*(TransformerEncoderLayer(*options) for _ in range(depth)))


@MODELS.register_module()
class FrameSelfAttention(BaseModule):
    """FSA: attention among the patches of every frame (eq. 5, Fig. 3).

    Args:
        crop_size: Side of the frames in pixels.
        in_channels: Channels of a frame.
        embed_dims: Channels E of a token.
        out_channels: Channels C' of the frame-level feature.
        patch_size: Side D of a patch in pixels; the paper's best is 24 at 96 pixels.
        num_heads: Attention heads.
        depth: Encoder layers.
        mlp_ratio: Width of the optional MLP over E; 0 as in the paper.
        dropout: Dropout inside the encoder layers.
        init_cfg: MMEngine initialisation config.
    """

    def __init__(
        self,
        crop_size: int = 96,
        in_channels: int = 3,
        embed_dims: int = 512,
        out_channels: int = 512,
        patch_size: int = 24,
        num_heads: int = 8,
        depth: int = 1,
        mlp_ratio: float = 0.0,
        dropout: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.patch_embedding = FramePatchEmbedding(
            patch_size, crop_size, in_channels, embed_dims
        )
        self.encoder = transformer_encoder(
            depth, embed_dims, num_heads, mlp_ratio, dropout
        )
        self.linear = nn.Linear(embed_dims, out_channels)

    def forward(self, frames: Tensor) -> Tensor:
        """f_a^r: (N, C, T, H, W) normalised frames -> (N, C', T)."""
        tokens = self.patch_embedding(frames)  # (N, T, Z, E)
        n, t = tokens.shape[:2]
        tokens = self.encoder(tokens.flatten(0, 1))  # (N*T, Z, E)
        # Mean first: the linear layer commutes with it and runs on Z times fewer.
        feature = self.linear(tokens.mean(dim=1))
        return feature.unflatten(0, (n, t)).transpose(1, 2)
