"""Convolutions, patches and attention written out, and layouts in memory."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import grad
from torch.testing import assert_close

from mmtal_mts.models.backbones.inception_i3d import InceptionBlock
from mmtal_mts.models.layers import (
    ConvNormReLU1d,
    FramePatchEmbedding,
    SameConv1d,
    TransformerEncoderLayer,
    contiguous_like,
    pad_same,
    pointwise_conv3d,
)
from mmtal_mts.models.layers.transformer import plain_attention

CHANNELS_LAST = torch.channels_last_3d


def test_pad_same_leaves_symmetric_padding_to_the_convolution():
    x = torch.ones(1, 1, 6, 6)
    same, padding = pad_same(x, (3, 3), (1, 1))
    assert same is x and padding == (1, 1)
    padded, padding = pad_same(x, (7, 3), (2, 1))
    assert padding == (0, 0)
    assert padded.shape == (1, 1, 6 + 5, 6 + 2)
    assert padded[0, 0, :2].sum() == 0 and padded[0, 0, -3:].sum() == 0


def test_same_conv1d_values_by_hand():
    conv = SameConv1d(1, 1, 3, 2)
    conv.weight.data.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))
    conv.bias.data.fill_(0.5)
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    # Even length, stride 2: nothing in front, one zero behind.
    assert conv(x).tolist() == [[[321.5, 43.5]]]


def test_patches_are_cut_row_by_row_and_get_the_position_in_every_frame():
    embedding = FramePatchEmbedding(2, 4, in_channels=1, embed_dims=4)
    embedding.projection.weight.data.copy_(torch.eye(4))
    embedding.projection.bias.data.fill_(100.0)
    frames = torch.arange(16.0).reshape(1, 1, 1, 4, 4).expand(2, 1, 3, 4, 4)
    patches = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    expected = torch.tensor(patches) + 100.0 + embedding.position
    assert_close(embedding(frames), expected.expand(2, 3, 4, 4))


def test_patch_size_must_divide_and_frames_must_fit():
    with pytest.raises(ValueError, match=r'patch_size=5 does not divide crop_size=96'):
        FramePatchEmbedding(5, 96, 3, 8)
    with pytest.raises(ValueError, match=r'frames are 6x8 pixels, but crop_size=8'):
        FramePatchEmbedding(4, 8, 3, 8)(torch.zeros(1, 3, 1, 6, 8))


def test_encoder_layer_and_its_export_against_attention_written_out():
    layer = TransformerEncoderLayer(6, num_heads=2).eval()
    x, norm, attention = torch.randn(3, 4, 6), layer.attention_norm, layer.attention
    torch.nn.init.normal_(attention.in_proj_bias)
    normed = F.layer_norm(x, (6,), norm.weight, norm.bias)
    qkv = normed @ attention.in_proj_weight.T + attention.in_proj_bias
    q, k, v = (part.reshape(3, 4, 2, 3).transpose(1, 2) for part in qkv.chunk(3, -1))
    weights = (q @ k.transpose(-1, -2) / math.sqrt(3)).softmax(-1)
    mixed = (weights @ v).transpose(1, 2).reshape(3, 4, 6)
    attended = mixed @ attention.out_proj.weight.T + attention.out_proj.bias
    assert_close(layer(x), x + attended)
    assert_close(plain_attention(attention, normed), attended)
    assert layer.mlp is None
    with_mlp = TransformerEncoderLayer(8, 2, mlp_ratio=2.0)
    assert with_mlp.mlp[1].out_features == 16
    assert with_mlp(torch.randn(1, 3, 8)).shape == (1, 3, 8)


@pytest.mark.parametrize('kernel', [1, 3, 5])
def test_levels_in_one_call_equal_level_by_level(kernel):
    unit = ConvNormReLU1d(4, 6, kernel, num_groups=2)
    levels = [torch.randn(2, 4, n) for n in (8, 4, 2, 1)]
    for one, level in zip(unit.forward_levels(levels), levels, strict=True):
        assert_close(one, unit(level), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('layout', [torch.contiguous_format, CHANNELS_LAST])
@pytest.mark.parametrize('with_bias', [False, True])
def test_pointwise_convolution(layout, with_bias):
    x = torch.randn(2, 6, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(7, 6, 1, 1, 1, requires_grad=True)
    bias = torch.randn(7, requires_grad=True) if with_bias else None
    inputs = [x, weight] + [bias] * with_bias
    out, expected = pointwise_conv3d(x, weight, bias), F.conv3d(x, weight, bias)
    assert_close(out, expected)
    assert out.is_contiguous(memory_format=layout)
    probe = torch.randn_like(out)
    assert_close(grad(out, inputs, probe), grad(expected, inputs, probe))


def test_some_channels_of_a_channels_last_map_keep_the_layout():
    x = torch.randn(1, 8, 3, 4, 5).contiguous(memory_format=CHANNELS_LAST)
    some, weight = x[:, 2:6], torch.randn(3, 4, 1, 1, 1)
    out = pointwise_conv3d(some, weight, None)
    assert_close(out, F.conv3d(some, weight))
    assert out.is_contiguous(memory_format=CHANNELS_LAST)
    assert contiguous_like(some, x).is_contiguous(memory_format=CHANNELS_LAST)
    assert contiguous_like(some, some.contiguous()).is_contiguous()


@pytest.mark.parametrize('frozen', [False, True])
@pytest.mark.parametrize('size', [(2, 1, 1), (3, 4, 4)])
def test_an_inception_block_never_loses_the_layout(frozen, size):
    # Torch convolves maps as small as these in the other layout.
    block = InceptionBlock(8, (8, 8, 8, 8, 8, 8)).train(not frozen)
    x = torch.randn(1, 8, *size).contiguous(memory_format=CHANNELS_LAST)
    assert block.b1b(x).stride(1) == 1
    out = block(x.requires_grad_())
    assert out.stride(1) == 1
    out.sum().backward()
    assert x.grad.isfinite().all()
