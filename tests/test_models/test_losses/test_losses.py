"""Losses by hand and as recorded, and the means that they are divided by."""

import math

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from tiny_models import golden
from torch.nn import functional as F
from torch.testing import assert_close

from mmtal_mts.models import (
    BoundaryBCELoss,
    BoundaryTripletLoss,
    SegmentBoxLoss,
    SegmentGIoULoss,
    build_distance_loss,
)
from mmtal_mts.models.losses import utils as module
from mmtal_mts.models.losses.utils import (
    best_tiou,
    distance_giou,
    distance_tiou,
    keep_chosen,
    loss_weights,
    mean_count,
    mean_over_chosen,
    mean_over_ranks,
)
from mmtal_mts.structures.segments import pairwise_tiou

GOLDEN = golden('b_bce_triplet.npz')


def test_recorded_start_and_end_loss():
    # Recorded as (N, T, C).
    curves = torch.from_numpy(GOLDEN['bce/scores'])
    for index, kind in enumerate(('start', 'end')):
        names = [f'{kind}{x}' for x in ('', '_loc_prop', '_conf_prop')]
        feats = [torch.tensor(GOLDEN[f'bce/{x}'], requires_grad=True) for x in names]
        frame_level, *auxiliaries = (x.mT for x in feats)
        value = BoundaryBCELoss()(frame_level, auxiliaries, curves[:, index])
        expected = float(GOLDEN[f'bce/loss_{kind}'])
        assert value.item() == pytest.approx(expected, rel=1e-5)
        ((1 + index) * value).backward()
        for name, feature in zip(names, feats, strict=True):
            expected = GOLDEN[f'bce/grad_start_plus_2end/{name}']
            np.testing.assert_allclose(feature.grad, expected, rtol=1e-5, atol=1e-9)


def test_start_and_end_loss_by_hand_and_of_silent_features():
    frame_level = torch.tensor([[[0.0, 2.0], [0.0, 0.5]]])
    active = (np.tanh(2) + np.tanh(0.5)) / 2
    auxiliary = torch.tensor([[[1.0]]])  # one position for both frames
    expected = -np.log(active) / 2 - 0.5 * np.log(1 - np.tanh(1))
    loss = BoundaryBCELoss(auxiliary_weight=0.5, loss_weight=3.0)
    value = loss(frame_level, [auxiliary], torch.tensor([[0.0, 1.0]]))
    assert value.item() == pytest.approx(3 * expected, rel=1e-5)
    # The logarithm is cut off at -100.
    assert BoundaryBCELoss()(torch.zeros(1, 2, 4), [], torch.ones(1, 4)) == 100


def test_recorded_triplet():
    a, p, n = (torch.from_numpy(GOLDEN[f'triplet/{k}']).requires_grad_() for k in 'apn')
    # Starts in the first half of the channels, ends in the second.
    starts = torch.stack([torch.randn_like(a), p, n], -1)
    ends = torch.stack([a, torch.randn_like(a), torch.randn_like(a)], -1)
    pooled = torch.cat([starts, ends], 1)
    value = BoundaryTripletLoss(loss_weight=1.0)(pooled, [])
    assert value.item() == pytest.approx(float(GOLDEN['triplet/loss']), rel=1e-5)
    value.backward()
    for name, tensor in zip('apn', (a, p, n), strict=True):
        expected = GOLDEN[f'triplet/grad_{name}']
        np.testing.assert_allclose(tensor.grad, expected, rtol=1e-5, atol=1e-9)


def test_triplet_by_hand():
    # One channel for starts, one for ends: |a - p| = 3, |a - n| = 1.
    pooled = torch.tensor([[[9.0, 3.0, -1.0], [0.0, 9.0, 9.0]]], requires_grad=True)
    auxiliary = pooled.detach() * 2  # 6 and 2
    loss = BoundaryTripletLoss(margin=1.0, auxiliary_weight=0.5, loss_weight=0.1)
    value = loss(pooled, [auxiliary])
    assert value.item() == pytest.approx(0.1 * (3 + 0.5 * 5), rel=1e-5)
    value.backward()
    # The anchor is pulled by both: -1 of the positive, -1 of the negative.
    expected = torch.tensor([[[0.0, 1.0, 1.0], [-2.0, 0.0, 0.0]]]) * 0.1
    assert_close(pooled.grad, expected, rtol=1e-5, atol=1e-7)


def test_triplet_is_the_mean_of_its_clips():
    pooled, auxiliary = torch.rand(3, 8, 3), torch.rand(3, 4, 3)
    loss = BoundaryTripletLoss()
    alone = [loss(pooled[i : i + 1], [auxiliary[i : i + 1]]) for i in range(3)]
    assert_close(loss(pooled, [auxiliary]), torch.stack(alone).mean())


def test_focal_loss_with_gamma_0_is_weighted_cross_entropy():
    loss = MODELS.build(dict(type='SoftmaxFocalLoss', gamma=0.0, alpha=0.5, eps=0.0))
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 3, 0])
    assert_close(loss(logits, labels), 0.5 * F.cross_entropy(logits, labels))


def test_focal_loss_weight_and_empty():
    loss = MODELS.build(dict(type='SoftmaxFocalLoss'))
    logits, labels = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 3, 1])
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


def test_tiou_against_interval_arithmetic():
    pred, target = torch.rand(2, 50, 2) * 10
    # [2, 4] and [6, 8] seen from 0 are disjoint.
    pred[0], target[0] = torch.tensor([[-2.0, 4.0], [-6.0, 8.0]])
    start, end = (torch.stack([pred, target]) * torch.tensor([-1, 1])).unbind(-1)
    inter, union = end.amin(0) - start.amax(0), end.amax(0) - start.amin(0)
    assert_close(distance_tiou(pred, target), inter / union)
    assert distance_tiou(pred, target)[0] < 0 and distance_giou(pred, target)[0] < 0


def test_best_tiou_of_segments_that_need_not_hold_their_points():
    generator = torch.Generator().manual_seed(0)
    points = 20 * torch.rand(50, generator=generator)
    # Some end before they start, some do not hold their point.
    found = 10 * torch.rand(3, 50, 2, generator=generator) - 2
    segments = [torch.tensor([[2.0, 6], [5, 18], [7, 7]]), torch.tensor([[30.0, 40]])]
    reached = best_tiou(points, found, [*segments, torch.zeros(0, 2)])
    ends = torch.stack([points - found[..., 0], points + found[..., 1]], dim=-1)
    for i, own in enumerate(segments):
        expected = pairwise_tiou(ends[i].numpy(), own.numpy()).max(axis=1)
        assert_close(reached[i].double(), torch.from_numpy(expected), rtol=0, atol=1e-6)
    assert reached[0].max() > 0.5 and (reached[1:] == 0).all()


@pytest.mark.parametrize('function', [distance_tiou, distance_giou])
def test_zero_length_segments_stay_finite(function):
    zero = torch.zeros(1, 2, requires_grad=True)
    value = function(zero, torch.zeros(1, 2))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(zero.grad).all()


def test_segments_become_boxes_of_height_1():
    calls = []

    def box_loss(pred, target, weight, avg_factor):
        calls.append((pred, target, weight, avg_factor))
        return pred.sum()

    loss = SegmentBoxLoss(box_loss)
    pred = torch.tensor([[2.0, 3.0], [0.5, 7.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [0.25, 0.25]])
    loss(pred, torch.tensor([[1.0, 4.0], [2.0, 2.0]]), weight, 5).backward()
    boxes, target, weight, avg_factor = calls.pop()
    assert boxes.tolist() == [[-2.0, 0.0, 3.0, 1.0], [-0.5, 0.0, 7.0, 1.0]]
    assert target.tolist() == [[-1.0, 0.0, 4.0, 1.0], [-2.0, 0.0, 2.0, 1.0]]
    assert weight.tolist() == [[1.0] * 4, [0.25] * 4] and avg_factor == 5
    assert pred.grad.tolist() == [[-1.0, 1.0]] * 2
    none = torch.zeros(0, 2)
    loss(none, none, torch.zeros(0))
    assert [x.shape for x in calls.pop()[:3]] == [(0, 4)] * 3
    loss(none, none)
    assert calls.pop()[2] is None


def test_our_own_losses_are_not_wrapped():
    loss = build_distance_loss(dict(type='SegmentGIoULoss', loss_weight=3.0))
    assert type(loss) is SegmentGIoULoss and loss.loss_weight == 3.0
    # A weight per segment or per distance: the same.
    pred, target, weight = torch.rand(4, 2), torch.rand(4, 2), torch.rand(4)
    expected = loss(pred, target, weight[:, None].expand(-1, 2), 2)
    assert_close(loss(pred, target, weight, 2), expected)


def test_normalizers():
    positive = torch.tensor([[True, True, False], [False, False, False]])
    weight, divisor = loss_weights(positive, 'batch')
    assert weight.tolist() == [[1.0] * 3] * 2 and divisor == 2
    weight, divisor = loss_weights(positive, 'clip')
    assert weight.tolist() == [[0.5] * 3, [1.0] * 3] and divisor == 2

    def loss(pred, target, weight, avg_factor):
        return ((pred - target) * weight).sum() / avg_factor

    value = torch.tensor([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]])
    for by, wanted in (('batch', 1.5), ('clip', 0.75)):
        weights = loss_weights(positive, by)
        for pred, factor in ((value, 1), (value[..., None].expand(-1, -1, 2), 2)):
            found = mean_over_chosen(loss, positive, weights, pred, 0 * pred)
            assert found == factor * wanted


def test_what_is_not_chosen_gives_no_gradient_even_if_it_is_nan():
    chosen = torch.tensor([[True, False], [False, True]])
    value = torch.tensor([[[1.0, 2.0], [torch.nan] * 2], [[torch.inf] * 2, [3.0, 4.0]]])
    flat, scores = keep_chosen(chosen, value.requires_grad_(), value[..., 0])
    assert flat.tolist() == [[1, 2], [0, 0], [0, 0], [3, 4]]
    assert scores.tolist() == [1, 0, 0, 3]
    flat.square().sum().backward()
    assert value.grad.tolist() == [[[2, 4], [0, 0]], [[0, 0], [6, 8]]]


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
