"""Losses over locations by hand, and the means that they are divided by."""

from __future__ import annotations

import math

import pytest
import torch
from mmaction.registry import MODELS
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from mmtal_mts.models import SegmentBoxLoss, SegmentGIoULoss, build_distance_loss
from mmtal_mts.models.losses import utils as module
from mmtal_mts.models.losses.utils import (
    distance_giou,
    distance_tiou,
    loss_weights,
    mean_count,
    mean_over_ranks,
)


def test_focal_loss_with_gamma_0_is_weighted_cross_entropy():
    loss = MODELS.build(dict(type='SoftmaxFocalLoss', gamma=0.0, alpha=0.5, eps=0.0))
    logits = torch.randn(6, 4)
    labels = torch.tensor([0, 1, 2, 3, 3, 0])
    assert_close(loss(logits, labels), 0.5 * F.cross_entropy(logits, labels))


def test_focal_loss_weight_and_empty():
    loss = MODELS.build(dict(type='SoftmaxFocalLoss'))
    logits = torch.randn(3, 4, requires_grad=True)
    labels = torch.tensor([0, 3, 1])
    masked = loss(logits, labels, weight=torch.tensor([1.0, 0.0, 1.0]), avg_factor=1)
    assert_close(masked, loss(logits[[0, 2]], labels[[0, 2]], avg_factor=1))
    empty = loss(logits[:0], labels[:0], avg_factor=1)
    assert empty == 0
    empty.backward()
    assert logits.grad.abs().sum() == 0


@pytest.mark.parametrize(
    'name, settings, pred, target, expected',
    [
        # From point 10: [5, 15] against [0, 20] -> tIoU 0.5, hull = union.
        ('SegmentGIoULoss', {}, [[5, 5]], [[10, 10]], 0.5),
        # Quadratic in one coordinate, linear in the other; and plain L1.
        ('SegmentSmoothL1Loss', dict(beta=1.0), [[0.5, 3]], [[0, 0]], 0.125 + 2.5),
        ('SegmentSmoothL1Loss', dict(beta=0.0), [[0.5, 3]], [[0, 0]], 3.5),
        ('QualityBCELoss', dict(loss_weight=3.0), [0], [0.25], 3.0 * math.log(2)),
        ('QualityBCELoss', {}, [], [], 0),
    ],
)
def test_losses_by_hand(name, settings, pred, target, expected):
    loss = MODELS.build(dict(type=name, **settings))
    pred, target = torch.tensor(pred).float(), torch.tensor(target).float()
    assert loss(pred, target, avg_factor=2).item() == pytest.approx(expected / 2)


def test_disjoint_segments_have_negative_overlap():
    # [2, 4] and [6, 8] seen from 0: tIoU 0 and hull 6 against union 4, by the
    # definition on intervals; distances from one point give overlap -2.
    pred, target = torch.tensor([[-2.0, 4.0]]), torch.tensor([[-6.0, 8.0]])
    assert distance_tiou(pred, target).item() < 0
    assert distance_giou(pred, target).item() < 0


def test_tiou_against_interval_arithmetic():
    pred, target = torch.rand(2, 50, 2) * 10
    start, end = (torch.stack([pred, target]) * torch.tensor([-1, 1])).unbind(-1)
    inter, union = end.amin(0) - start.amax(0), end.amax(0) - start.amin(0)
    assert_close(distance_tiou(pred, target), inter / union)


def test_zero_length_segments_stay_finite():
    zero = torch.zeros(1, 2, requires_grad=True)
    for function in (distance_tiou, distance_giou):
        value = function(zero, torch.zeros(1, 2))
        assert torch.isfinite(value).all()
        value.sum().backward()
        assert torch.isfinite(zero.grad).all()


class Recorder(nn.Module):
    """Keeps what it is called with."""

    def forward(self, pred, target, weight=None, avg_factor=None):
        self.seen = pred, target, weight, avg_factor
        return pred.sum()


def test_segments_become_boxes_of_height_1():
    loss = SegmentBoxLoss(Recorder())
    pred = torch.tensor([[2.0, 3.0], [0.5, 7.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [0.25, 0.25]])
    loss(pred, torch.tensor([[1.0, 4.0], [2.0, 2.0]]), weight, 5).backward()
    boxes, target, weight, avg_factor = loss.box_loss.seen
    assert boxes.tolist() == [[-2.0, 0.0, 3.0, 1.0], [-0.5, 0.0, 7.0, 1.0]]
    assert target.tolist() == [[-1.0, 0.0, 4.0, 1.0], [-2.0, 0.0, 2.0, 1.0]]
    assert weight.tolist() == [[1.0] * 4, [0.25] * 4] and avg_factor == 5
    assert pred.grad.tolist() == [[-1.0, 1.0]] * 2
    none = torch.zeros(0, 2)
    loss(none, none, torch.zeros(0))
    assert [x.shape for x in loss.box_loss.seen[:3]] == [(0, 4)] * 3
    loss(none, none)
    assert loss.box_loss.seen[2] is None


def test_our_own_losses_are_not_wrapped():
    loss = build_distance_loss(dict(type='SegmentGIoULoss', loss_weight=3.0))
    assert type(loss) is SegmentGIoULoss and loss.loss_weight == 3.0
    # A weight per segment or per distance: the same.
    pred, target, weight = torch.rand(4, 2), torch.rand(4, 2), torch.rand(4)
    expected = loss(pred, target, weight[:, None].expand(-1, 2), 2)
    assert_close(loss(pred, target, weight, 2), expected)


@pytest.fixture
def beside(monkeypatch):
    """Makes this one of two processes; says what the other one has."""

    def other_has(value):
        def all_reduce(tensor, op):
            assert op == 'mean'
            tensor.add_(torch.as_tensor(value)).div_(2)

        monkeypatch.setattr(module, 'get_world_size', lambda: 2)
        monkeypatch.setattr(module, 'all_reduce', all_reduce)

    return other_has


@pytest.mark.parametrize(('ours', 'theirs'), [(3, 1), (0, 4), (1, 0), (0, 0)], ids=str)
def test_mean_of_two_losses_is_the_loss_of_the_whole_batch(beside, ours, theirs):
    beside(theirs)
    first = 2.5 * ours / mean_count(torch.tensor(ours))
    beside(ours)
    second = 2.5 * theirs / mean_count(torch.tensor(theirs))
    wanted = 2.5 * (ours + theirs) / max(ours + theirs, 1)
    assert (first + second) / 2 == pytest.approx(wanted)


def test_means_over_processes(beside):
    value = torch.tensor([1.0, 3.0], requires_grad=True)
    assert mean_over_ranks(value).tolist() == [1.0, 3.0]  # alone
    assert [mean_count(torch.tensor(n)).item() for n in (0, 5)] == [1, 5]
    beside([3.0, 5.0])
    mean = mean_over_ranks(value)
    assert mean.tolist() == [2.0, 4.0] and not mean.requires_grad
    assert value.tolist() == [1.0, 3.0]
    beside(0)
    assert loss_weights(torch.tensor([[True, False]]), 'batch')[1] == 0.5
