from .channels_last import contiguous_like, pointwise_conv3d
from .conv import ConvNormReLU1d, SameConv1d
from .padding import pad_same
from .transformer import FramePatchEmbedding, TransformerEncoderLayer

__all__ = [
    'ConvNormReLU1d',
    'FramePatchEmbedding',
    'SameConv1d',
    'TransformerEncoderLayer',
    'contiguous_like',
    'pad_same',
    'pointwise_conv3d',
]
