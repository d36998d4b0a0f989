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
    TubeletEmbedding,
    contiguous_like,
    pad_same,
    pointwise_conv3d,
)

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
    with pytest.raises(ValueError, match=r'patch_size=12 is no multiple of 8.*tokens='):
        TubeletEmbedding(12, 96, 3, 8)


def test_tubelets_see_motion_of_their_patch_alone_and_nothing_that_never_moves():
    torch.manual_seed(0)
    embedding = TubeletEmbedding(8, 32, 1, 6, stem_channels=(4, 8), num_groups=2)
    frames = torch.rand(1, 1, 1, 32, 32).repeat(1, 1, 12, 1, 1)
    still = embedding(frames)
    assert still.shape == (1, 12, 16, 6)
    # Frames without motion differ from their mean by nothing, whatever they show.
    # The normalisation magnifies what a mean in float32 is off by.
    assert_close(still, embedding(torch.zeros_like(frames)), rtol=0, atol=0.01)
    moving = frames.clone()
    moving[:, :, 6, 26:, 26:] += 1.0  # inside the last patch, in one frame
    with torch.no_grad():
        for norm in (embedding.stem[1], embedding.stem[4]):
            # Normalisation over the clip would spread the change everywhere.
            norm.forward = lambda x: x
        embedding.subtract_mean = False
        changed = (embedding(moving) - embedding(frames)).abs().amax(-1)[0] > 1e-6
    # Two kernels of 3 frames reach two frames to either side.
    assert changed.any(1).nonzero().flatten().tolist() == [4, 5, 6, 7, 8]
    assert changed[:, :11].sum() == 0 and changed[6, 15]


@pytest.mark.parametrize('cosine', [False, True])
def test_attention_weights_are_those_that_mix_the_values(cosine):
    layer = TransformerEncoderLayer(6, num_heads=2, cosine=cosine).eval()
    tokens, attention = torch.randn(3, 4, 6), layer.attention
    weights = layer.attention_weights(tokens)
    assert weights.shape == (3, 2, 4, 4)
    assert_close(weights.sum(-1), torch.ones(3, 2, 4))
    normed = layer.attention_norm(tokens)
    value = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias)[..., 12:]
    mixed = weights @ value.unflatten(2, (2, 3)).transpose(1, 2)
    mixed = attention.out_proj(mixed.transpose(1, 2).flatten(2))
    assert_close(layer(tokens), tokens + mixed)


def test_cosine_attention_does_not_know_how_long_queries_and_keys_are():
    layer = TransformerEncoderLayer(6, num_heads=2, cosine=True)
    tokens, weight = torch.randn(3, 4, 6), layer.attention.in_proj_weight
    torch.nn.init.zeros_(layer.attention.in_proj_bias)
    before = layer.attention_weights(tokens)
    weight.data[:12] *= 5.0  # queries and keys
    assert_close(layer.attention_weights(tokens), before)
    # Equal tokens: the weights are uniform. The factor is bounded.
    same = tokens[:, :1].expand(3, 4, 6)
    assert_close(layer.attention_weights(same), torch.full((3, 2, 4, 4), 0.25))
    layer.attention.logit_scale.data.fill_(100.0)
    assert layer.attention_weights(tokens).isfinite().all()


def test_encoder_layer_against_attention_written_out():
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
