"""I3D: sizes, padding, frozen norms, and weights by name."""

from __future__ import annotations

import logging
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mmaction.registry import MODELS
from plain_baselines import make_plain

from mmtal_mts.models.backbones import InceptionI3D
from mmtal_mts.models.backbones.inception_i3d import SameMaxPool3d
from mmtal_mts.models.backbones.pretrained import load_pretrained
from mmtal_mts.models.layers import same_padding
from mmtal_mts.utils import UserError


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 3))
def test_same_padding_gives_ceil_length_with_least_padding(size, kernel, stride):
    front, behind = same_padding(size, kernel, stride)
    assert behind - front in (0, 1)
    out = (size + front + behind - kernel) // stride + 1
    assert out == math.ceil(size / stride)
    # One position less of padding would lose an output position (or there is none).
    if front + behind:
        assert (size + front + behind - 1 - kernel) // stride + 1 < out


def test_full_network_has_the_published_size():
    net = MODELS.build(dict(type='InceptionI3D'))
    parameters = sum(p.numel() for p in net.parameters())
    # Inception v1 inflated, up to Mixed_5c, with the affine batch norms.
    assert parameters == 12_287_264 or abs(parameters / 12.29e6 - 1) < 1e-3
    assert net.out_channels == (832, 1024)


@pytest.mark.parametrize('size', [(16, 32, 32), (13, 33, 47), (1, 32, 32)])
def test_endpoints_have_ceil_sizes(size):
    net = InceptionI3D(width=0.125).eval()
    with torch.no_grad():
        fine, coarse = net(torch.randn(1, 3, *size))

    def halved(n, times):
        for _ in range(times):
            n = -(-n // 2)
        return n

    t, h, w = size
    assert fine.shape == (1, 104, halved(t, 2), halved(h, 4), halved(w, 4))
    assert coarse.shape == (1, 128, halved(t, 3), halved(h, 5), halved(w, 5))


@pytest.mark.parametrize(
    'kernel, stride',
    [
        ((1, 3, 3), (1, 2, 2)),
        ((3, 3, 3), (2, 2, 2)),
        ((2, 2, 2), (2, 2, 2)),
        ((3, 3, 3), (1, 1, 1)),
    ],
)
@pytest.mark.parametrize('size', [(4, 6, 6), (5, 7, 9), (1, 3, 2)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last_3d])
def test_pooling_equals_zero_padding_on_non_negative_maps(kernel, stride, size, layout):
    # Rounded, so that there are ties.
    x = torch.randn(2, 3, *size).round(decimals=1).relu()
    x = x.contiguous(memory_format=layout).requires_grad_()
    pads = [same_padding(n, k, s) for n, k, s in zip(size, kernel, stride, strict=True)]
    flat = [side for pair in reversed(pads) for side in pair]
    expected = F.max_pool3d(F.pad(x, flat, value=-torch.inf), kernel, stride)
    assert torch.equal(F.max_pool3d(F.pad(x, flat), kernel, stride), expected)
    pooled = SameMaxPool3d(kernel, stride)(x)
    assert torch.equal(pooled, expected)
    weight = torch.rand_like(pooled)
    (grad,) = torch.autograd.grad(pooled, x, weight)
    (expected_grad,) = torch.autograd.grad(expected, x, weight)
    torch.testing.assert_close(grad, expected_grad)


def test_only_the_wanted_stages_are_built_and_false_settings_named():
    net = InceptionI3D(width=0.125, out_indices=('Mixed_3c',))
    assert net.stages[-1] == 'Mixed_3c'
    assert not hasattr(net, 'Mixed_4b')
    with pytest.raises(ValueError, match='Mixed_9z'):
        InceptionI3D(out_indices=('Mixed_9z',))
    with pytest.raises(ValueError, match='freeze_bn=True'):
        InceptionI3D(width=0.03125, with_cp=True)


def test_frozen_batch_norm_keeps_statistics_and_affine():
    net = InceptionI3D(width=0.125, freeze_bn=True)
    # Known before the training begins: distributed training looks then.
    assert not any(p.requires_grad for k, p in net.named_parameters() if '.bn.' in k)
    net.train()
    before = {k: v.clone() for k, v in net.state_dict().items() if '.bn.' in k}
    sum(y.sum() for y in net(torch.randn(1, 3, 16, 32, 32))).backward()
    after = net.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert net.Conv3d_1a_7x7.bn.weight.grad is None
    assert net.Conv3d_1a_7x7.conv3d.weight.grad is not None

    free = InceptionI3D(width=0.125).train()
    free(torch.randn(1, 3, 16, 32, 32))
    assert free.Conv3d_1a_7x7.bn.num_batches_tracked == 1


def kinetics_state(net):
    """A state dict as the published files have it: with the classifier on top."""
    state = {k: torch.randn_like(v.float()) for k, v in net.state_dict().items()}
    state['logits.conv3d.weight'] = torch.zeros(400, 1024, 1, 1, 1)
    return state


def test_kinetics_weights_load_by_name_and_gaps_are_named(tmp_path, caplog):
    source = InceptionI3D(width=0.125)
    state = kinetics_state(source)
    del state['Mixed_5c.b0.conv3d.weight']
    path = tmp_path / 'rgb_imagenet.pt'
    torch.save(state, path)

    net = InceptionI3D(width=0.125, pretrained=str(path))
    with caplog.at_level(logging.INFO):
        net.init_weights()
    loaded = net.state_dict()
    assert torch.equal(
        loaded['Conv3d_1a_7x7.conv3d.weight'], state['Conv3d_1a_7x7.conv3d.weight']
    )
    assert load_pretrained(net, str(path)) == ['Mixed_5c.b0.conv3d.weight']


def test_weights_of_another_stream_or_network_are_refused(tmp_path):
    flow = tmp_path / 'flow.pt'
    torch.save(kinetics_state(InceptionI3D(in_channels=2, width=0.125)), flow)
    net = InceptionI3D(in_channels=3, width=0.125)
    with pytest.raises(ValueError, match=r'flow\.pt does not fit.*Conv3d_1a_7x7'):
        load_pretrained(net, str(flow))
    other = tmp_path / 'other.pt'
    torch.save({'conv1.weight': torch.zeros(1)}, other)
    with pytest.raises(ValueError, match='parameters are not there'):
        load_pretrained(net, str(other))
    with pytest.raises(UserError, match='absent.pt does not exist'):
        load_pretrained(net, str(tmp_path / 'absent.pt'))


def test_frozen_norms_equal_a_convolution_and_a_norm_with_gradients():
    torch.manual_seed(0)
    model = InceptionI3D(width=0.125, freeze_bn=True, out_indices=('Mixed_3b',))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.1)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    model = model.double().train()
    assert model.Mixed_3b.b0.frozen

    frames = torch.rand(1, 3, 8, 16, 16, dtype=torch.float64)
    weights = [p for p in model.parameters() if p.requires_grad]
    found = model(frames)[0]
    # The same modules and weights; the graph of what was found stays as it is.
    expected = make_plain(model)(frames)[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    probe = torch.rand_like(found)
    for a, b in zip(
        torch.autograd.grad((found * probe).sum(), weights),
        torch.autograd.grad((expected * probe).sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_checkpointing_changes_no_gradient():
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = InceptionI3D(width=0.03125, freeze_bn=True, with_cp=with_cp).train()
        frames = torch.rand(1, 3, 16, 32, 32)
        sum(x.square().sum() for x in model(frames)).backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)
