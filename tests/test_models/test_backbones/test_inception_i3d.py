"""I3D: sizes, padding, frozen norms, and weights by name."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from plain_baselines import make_plain
from torch.autograd import grad
from torch.testing import assert_close

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


@pytest.mark.parametrize(
    'kernel, stride', [((1, 3, 3), (1, 2, 2)), (3, 2), (2, 2), (3, 1)]
)
@pytest.mark.parametrize('size', [(4, 6, 6), (5, 7, 9), (1, 3, 2)])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last_3d])
def test_pooling_equals_zero_padding_on_non_negative_maps(kernel, stride, size, layout):
    kernel, stride = (np.broadcast_to(x, 3).tolist() for x in (kernel, stride))
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
    assert_close(grad(pooled, x, weight), grad(expected, x, weight))


def test_only_the_wanted_stages_are_built_and_false_settings_named():
    net = InceptionI3D(width=0.125, out_indices=('Mixed_3c',))
    assert net.stages[-1] == 'Mixed_3c' and not hasattr(net, 'Mixed_4b')
    with pytest.raises(ValueError, match='Mixed_9z'):
        InceptionI3D(out_indices=('Mixed_9z',))
    with pytest.raises(ValueError, match='freeze_bn=True'):
        InceptionI3D(width=0.03125, with_cp=True)


def test_batch_norms_are_frozen_from_the_start_or_move():
    net = InceptionI3D(width=0.125, freeze_bn=True)
    # Known before the training begins: distributed training looks then.
    assert not any(p.requires_grad for k, p in net.named_parameters() if '.bn.' in k)
    free = InceptionI3D(width=0.125).train()
    free(torch.randn(1, 3, 16, 32, 32))
    assert free.Conv3d_1a_7x7.bn.num_batches_tracked == 1


def test_kinetics_weights_load_by_name_and_what_does_not_fit_is_named(tmp_path, caplog):
    gap, first = 'Mixed_5c.b0.conv3d.weight', 'Conv3d_1a_7x7.conv3d.weight'
    for name, source in (
        ('rgb.pt', InceptionI3D(width=0.125)),
        ('flow.pt', InceptionI3D(in_channels=2, width=0.125)),
        ('other.pt', torch.nn.Linear(1, 1)),
    ):
        state = {k: torch.randn_like(v.float()) for k, v in source.state_dict().items()}
        state.pop(gap, None)
        # As the published files have it.
        state['logits.conv3d.weight'] = torch.zeros(400, 1024, 1, 1, 1)
        torch.save(state, tmp_path / name)
    path = str(tmp_path / 'rgb.pt')
    net = InceptionI3D(width=0.125, pretrained=path)
    MMLogger.get_current_instance().addHandler(caplog.handler)
    net.init_weights()
    MMLogger.get_current_instance().removeHandler(caplog.handler)
    assert torch.equal(net.state_dict()[first], torch.load(path)[first])
    assert f"not found: ['{gap}']; unused: ['logits.conv3d.weight']" in caplog.text
    for name, message in (
        ('flow.pt', r'flow\.pt does not fit.*Conv3d_1a_7x7'),
        ('other.pt', 'parameters are not there'),
        ('absent.pt', 'absent.pt does not exist'),
    ):
        with pytest.raises(UserError, match=message):
            load_pretrained(net, str(tmp_path / name))


def test_frozen_norms_equal_a_convolution_and_a_norm_with_gradients():
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
    assert_close(found, expected, rtol=1e-10, atol=1e-12)
    probe = torch.rand_like(found)
    grads = (grad(out, weights, probe) for out in (found, expected))
    assert_close(*grads, rtol=1e-8, atol=1e-10)


def test_checkpointing_changes_no_gradient():
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = InceptionI3D(width=0.03125, freeze_bn=True, with_cp=with_cp).train()
        frames = torch.rand(1, 3, 16, 32, 32)
        sum(x.square().sum() for x in model(frames)).backward()
        grads.append([p.grad for p in model.parameters() if p.requires_grad])
    assert_close(*grads)
