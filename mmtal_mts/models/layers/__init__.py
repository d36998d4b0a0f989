"""Layers that necks, heads and backbones share."""

from .conv import (
    ConvNormReLU1d,
    SameConv1d,
    ZeroConv1d,
    contiguous_like,
    pad_same,
    pointwise_conv3d,
    same_padding,
)
from .patch_embedding import FramePatchEmbedding, TubeletEmbedding
from .transformer import (
    FrameSelfAttention,
    TransformerEncoderLayer,
    transformer_encoder,
)
