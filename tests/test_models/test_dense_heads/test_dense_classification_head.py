"""The head of the warm-up, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import instances
from torch.testing import assert_close

from mmtal_mts.models.dense_heads import DenseClassificationHead

N, C, T0, T, K = 2, 4, 8, 32, 3


@pytest.fixture
def maps():
    return (torch.rand(N, C, T0, 3, 3),)


def head(**kwargs):
    torch.manual_seed(0)
    return DenseClassificationHead(K, C, **kwargs)


def test_logits_are_a_linear_map_of_the_mean_over_space_of_a_map(maps):
    model, (x,) = head(), maps
    logits = model(maps)
    assert logits.shape == (N, T0, K)
    expected = model.fc.weight @ x[1, :, 5].mean((1, 2)) + model.fc.bias
    assert_close(logits[1, 5], expected)
    assert_close(head(feat_index=1)((x * 0, x)), logits)
    with pytest.raises(ValueError, match='warmup_head.in_channels=4'):
        model((torch.rand(1, C + 1, T0, 3, 3),))


def test_loss_is_the_cross_entropy_inside_actions(maps):
    model = head()
    # Positions are centred at 2, 6, 10, ...: the first action holds 2 and 6, the
    # second one 18, and the other clip has none.
    gt = [instances([[0, 8], [16, 20]], [1, 2]), instances([], [])]
    losses = model.loss(maps, T, gt)
    logits, labels = model(maps)[0, [0, 1, 4]].detach(), [1, 1, 2]
    probs = logits.softmax(1)[range(3), labels].tolist()
    expected = -sum(map(math.log, probs)) / 3
    assert losses['loss_warmup_cls'].item() == pytest.approx(expected)
    right = (logits.argmax(1) == torch.tensor(labels)).float().mean()
    assert losses['warmup_acc'].item() == pytest.approx(right.item())


def test_clips_without_an_action_give_zero_loss_with_a_gradient(maps):
    model = head()
    losses = model.loss(maps, T, [instances([], [])] * N)
    losses['loss_warmup_cls'].backward()
    assert losses['loss_warmup_cls'].item() == 0
    assert model.fc.weight.grad.abs().sum() == 0


def test_a_step_down_the_gradient_lowers_the_loss(maps):
    model = head()
    truth = [instances([[0, 16]], [0]), instances([[16, 32]], [2])]
    before = model.loss(maps, T, truth)['loss_warmup_cls']
    before.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert model.loss(maps, T, truth)['loss_warmup_cls'] < before
