"""FSA (eq. 5), and the encoder that it and STT (eq. 1) are made of."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .patch_embedding import FramePatchEmbedding

# Factor of the cosines of queries and keys at the start, as in Swin Transformer V2.
_COSINE_SCALE = 10.0


class SelfAttention(nn.MultiheadAttention):
    """Multi-headed self attention, in operators that ONNX knows.

    Args:
        embed_dims: Channels E of a token.
        num_heads: Attention heads; must divide ``embed_dims``.
        dropout: Dropout on the attention weights.
        cosine: Compare queries and keys by their cosine times a learned factor of
            each head instead of by their product over sqrt(E / heads). Products of
            small random weights are so small that attention stays nearly uniform.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, dropout: float, cosine: bool
    ) -> None:
        super().__init__(embed_dims, num_heads, dropout=dropout, batch_first=True)
        self.logit_scale = None
        if cosine:
            scale = torch.full((num_heads, 1, 1), math.log(_COSINE_SCALE))
            self.logit_scale = nn.Parameter(scale)

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, ready to be multiplied with keys, keys and values."""
        joined = F.linear(tokens, self.in_proj_weight, self.in_proj_bias)
        # (B, Z, 3E) -> three of (B, heads, Z, E / heads)
        query, key, value = (
            part.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
            for part in joined.chunk(3, dim=2)
        )
        if self.logit_scale is None:
            return query / self.head_dim**0.5, key, value
        # Above 100 the softmax would be a maximum without gradient.
        scale = self.logit_scale.clamp(max=math.log(100.0)).exp()
        return F.normalize(query, dim=-1) * scale, F.normalize(key, dim=-1), value

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, Z, E) -> (B, Z, E)."""
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(
            *self._project(tokens), dropout_p=dropout, scale=1.0
        )
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def weights(self, tokens: Tensor) -> Tensor:
        """How much each token attends to each: (B, Z, E) -> (B, heads, Z, Z)."""
        query, key, _ = self._project(tokens)
        return (query @ key.transpose(2, 3)).softmax(-1)


class TransformerEncoderLayer(nn.Module):
    """Pre-norm multi-headed self attention with a residual; MLP on request.

    The paper writes MSA(LN(x)) and no MLP (eq. 1), which is ``mlp_ratio=0`` and
    ``cosine=False``.

    Args:
        embed_dims: Channels E of a token.
        num_heads: Attention heads; must divide ``embed_dims``.
        mlp_ratio: Hidden width of the MLP over E; 0 leaves the MLP out.
        dropout: Dropout on the attention weights and in the MLP.
        cosine: See :class:`SelfAttention`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int = 8,
        mlp_ratio: float = 0.0,
        dropout: float = 0.0,
        cosine: bool = False,
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(embed_dims)
        self.attention = SelfAttention(embed_dims, num_heads, dropout, cosine)
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
        tokens = tokens + self.attention(self.attention_norm(tokens))
        return tokens if self.mlp is None else tokens + self.mlp(tokens)

    def attention_weights(self, tokens: Tensor) -> Tensor:
        """Those of the layer for its input: (B, Z, E) -> (B, heads, Z, Z)."""
        return self.attention.weights(self.attention_norm(tokens))


def transformer_encoder(
    depth: int,
    embed_dims: int,
    num_heads: int,
    mlp_ratio: float,
    dropout: float,
    cosine: bool = False,
    final_norm: bool = False,
) -> nn.Sequential:
    """``depth`` layers in a row (:class:`TransformerEncoderLayer`), and a LayerNorm."""
    options = (embed_dims, num_heads, mlp_ratio, dropout, cosine)
    layers = [TransformerEncoderLayer(*options) for _ in range(depth)]
    return nn.Sequential(*layers, *[nn.LayerNorm(embed_dims)] * final_norm)


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
        cosine: See :class:`SelfAttention`.
        final_norm: Whether a LayerNorm follows the encoder, as in ViT.
        own_embedding: Whether it embeds the patches itself, linearly (eq. 5), or reads
            the tokens of the neck, which then has the sizes. The detector sets it.
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
        cosine: bool = False,
        final_norm: bool = False,
        own_embedding: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.patch_embedding = None
        if own_embedding:
            self.patch_embedding = FramePatchEmbedding(
                patch_size, crop_size, in_channels, embed_dims
            )
        self.encoder = transformer_encoder(
            depth, embed_dims, num_heads, mlp_ratio, dropout, cosine, final_norm
        )
        self.linear = nn.Linear(embed_dims, out_channels)

    def forward(self, frames: Tensor, tokens: Tensor | None = None) -> Tensor:
        """f_a^r: (N, C, T, H, W) frames or (N, T, Z, E) tokens -> (N, C', T)."""
        if self.patch_embedding is not None:
            tokens = self.patch_embedding(frames)
        n, t = tokens.shape[:2]
        tokens = self.encoder(tokens.flatten(0, 1))  # (N*T, Z, E)
        # Mean first: the linear layer commutes with it and runs on Z times fewer.
        feature = self.linear(tokens.mean(dim=1))
        return feature.unflatten(0, (n, t)).transpose(1, 2)
