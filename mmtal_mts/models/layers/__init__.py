from .conv import ConvNormReLU1d, SameConv1d
from .padding import pad_same, same_padding
from .transformer import FramePatchEmbedding, TransformerEncoderLayer

__all__ = [
    'ConvNormReLU1d',
    'FramePatchEmbedding',
    'SameConv1d',
    'TransformerEncoderLayer',
    'pad_same',
    'same_padding',
]
