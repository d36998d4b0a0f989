from __future__ import annotations

from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..layers import FramePatchEmbedding, TransformerEncoderLayer


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
        self.encoder = nn.Sequential(
            *(
                TransformerEncoderLayer(embed_dims, num_heads, mlp_ratio, dropout)
                for _ in range(depth)
            )
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
