import pytest
import torch
import torch.nn.functional as F

from mmtal_mts.models.backbones.inception_i3d import InceptionBlock
from mmtal_mts.models.layers import contiguous_like, pointwise_conv3d
from mmtal_mts.models.necks.temporal_pyramid import SpatialCollapse

CHANNELS_LAST = torch.channels_last_3d


@pytest.mark.parametrize('layout', [torch.contiguous_format, CHANNELS_LAST])
@pytest.mark.parametrize('with_bias', [False, True])
def test_pointwise_convolution(layout, with_bias):
    x = torch.randn(2, 6, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    weight = torch.randn(7, 6, 1, 1, 1, requires_grad=True)
    bias = torch.randn(7, requires_grad=True) if with_bias else None
    inputs = [x, weight, *([bias] if with_bias else [])]
    out, expected = pointwise_conv3d(x, weight, bias), F.conv3d(x, weight, bias)
    torch.testing.assert_close(out, expected)
    assert out.is_contiguous(memory_format=layout)
    grads = torch.randn_like(out)
    for grad, wanted in zip(
        torch.autograd.grad(out, inputs, grads),
        torch.autograd.grad(expected, inputs, grads),
        strict=True,
    ):
        torch.testing.assert_close(grad, wanted)


def test_some_channels_of_a_channels_last_map_keep_the_layout():
    x = torch.randn(1, 8, 3, 4, 5).contiguous(memory_format=CHANNELS_LAST)
    some, weight = x[:, 2:6], torch.randn(3, 4, 1, 1, 1)
    out = pointwise_conv3d(some, weight, None)
    torch.testing.assert_close(out, F.conv3d(some, weight))
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


def test_spatial_collapse_is_the_convolution():
    collapse = SpatialCollapse(6, 8, spatial_size=3, num_groups=2)
    for layout in (torch.contiguous_format, CHANNELS_LAST):
        x = torch.randn(2, 6, 5, 3, 3).contiguous(memory_format=layout)
        expected = F.relu(collapse.norm(collapse.conv(x).flatten(2)))
        torch.testing.assert_close(collapse(x), expected)
