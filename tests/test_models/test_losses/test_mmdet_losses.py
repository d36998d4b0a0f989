"""Losses of MMDetection in our heads, named in a config by scope."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_models import instances

from mmtal_mts.models.dense_heads import (
    BoundaryRefineHead,
    CoarseHead,
    CoarseOutputs,
    DenseClassificationHead,
    RefineOutputs,
)
from mmtal_mts.models.losses import build_distance_loss
from mmtal_mts.models.task_modules import SegmentPointGenerator

pytestmark = pytest.mark.full

K, LENGTHS, T = 3, (4, 2, 1), 16
GT = [([[0.0, 16.0]], [1]), ([[5.0, 9.0]], [2]), ([], [])]


def coarse_head(normalize_by, **losses):
    options = dict(num_levels=3, num_groups=2, normalize_by=normalize_by)
    return CoarseHead(K, 8, **options, **losses)


def refine_head(normalize_by, **losses):
    options = dict(num_groups=2, refine_iou_thr=0.0, normalize_by=normalize_by)
    return BoundaryRefineHead(K, 8, **options, **losses)


def coarse_outputs(num_logits):
    """Random predictions for three clips, close enough to be refined."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(len(GT), length) for length in LENGTHS]
    distances = [1 + 6 * torch.rand(*size, 2, generator=generator) for size in sizes]
    logits = [torch.randn(*size, num_logits, generator=generator) for size in sizes]
    for tensor in (*distances, *logits):
        tensor.requires_grad_()
    return CoarseOutputs((), (), tuple(distances), tuple(logits))


def refine_outputs(num_logits):
    generator = torch.Generator().manual_seed(1)
    return RefineOutputs(
        *(
            torch.randn(len(GT), sum(LENGTHS), *size, generator=generator)
            for size in ((2,), (num_logits,), ())
        )
    )


def targets(head):
    points = SegmentPointGenerator().level_points(LENGTHS, T)
    return head.get_targets(points, [instances(*clip) for clip in GT])


def coarse_losses(normalize_by, **losses):
    """Losses of the coarse head and the gradient of their sum."""
    head, outputs = coarse_head(normalize_by, **losses), coarse_outputs(K + 1)
    found = head.loss_by_feat(outputs, targets(head))
    inputs = (*outputs.distances, *outputs.logits)
    return found, torch.autograd.grad(sum(found.values()), inputs)


def refine_losses(normalize_by, **losses):
    """Losses of the refine head and the gradient of their sum."""
    head, outputs = refine_head(normalize_by, **losses), refine_outputs(K + 1)
    inputs = [tensor.requires_grad_() for tensor in outputs[:3]]
    wanted = targets(coarse_head(normalize_by))
    found = head.loss_by_feat(outputs, coarse_outputs(K + 1), wanted)
    return found, torch.autograd.grad(sum(found.values()), inputs)


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


SMOOTH, FACTOR = dict(beta=0.5, loss_weight=2.0), dict(loss_weight=10.0)
# gamma 0 and equal weights leave nothing but the cross entropy.
PLAIN_FOCAL = dict(gamma=0.0, alpha=0.5, eps=0.0, loss_weight=4.0)
BINARY = dict(use_sigmoid=True)


@pytest.mark.parametrize('normalize_by', ['batch', 'clip'])
@pytest.mark.parametrize(
    'losses_of, field, theirs, settings, ours, own_settings',
    [
        (refine_losses, 'loc', 'SmoothL1Loss', SMOOTH, 'SegmentSmoothL1Loss', SMOOTH),
        (coarse_losses, 'loc', 'L1Loss', {}, 'SegmentSmoothL1Loss', dict(beta=0.0)),
        (coarse_losses, 'loc', 'GIoULoss', FACTOR, 'SegmentGIoULoss', FACTOR),
        *(
            (losses_of, 'cls', 'CrossEntropyLoss', dict(loss_weight=2.0))
            + ('SoftmaxFocalLoss', PLAIN_FOCAL)
            for losses_of in (coarse_losses, refine_losses)
        ),
        (refine_losses, 'quality', 'CrossEntropyLoss', BINARY, 'QualityBCELoss', {}),
    ],
)
def test_their_loss_is_ours(
    normalize_by, losses_of, field, theirs, settings, ours, own_settings
):
    configs = dict(type=f'mmdet.{theirs}', **settings), dict(type=ours, **own_settings)
    found, expected = (
        losses_of(normalize_by, **{f'loss_{field}': config}) for config in configs
    )
    assert all(value > 0 for value in found[0].values())
    assert_same(found, expected)


@pytest.mark.parametrize(
    'name', ['IoULoss', 'BoundedIoULoss', 'DIoULoss', 'CIoULoss', 'EIoULoss']
)
def test_other_losses_between_boxes_pull_towards_the_target(name):
    loss = build_distance_loss(dict(type=f'mmdet.{name}'))
    target = torch.tensor([[4.0, 6.0]])
    assert loss(target, target).item() == pytest.approx(0, abs=1e-3)
    # The second location is none of the chosen ones, as the head marks it.
    pred = torch.tensor([[2.0, 9.0], [0.0, 0.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    wanted = torch.cat([target, torch.zeros(1, 2)])
    value = loss(pred, wanted, weight, avg_factor=1)
    value.backward()
    assert torch.equal(value, loss(pred[:1], target, weight[:1], avg_factor=1))
    assert value > 0.1
    assert pred.grad[0, 0] < 0 < pred.grad[0, 1]
    assert loss(pred[:0], target[:0], avg_factor=1) == 0


def sigmoid_focal(logits, labels, gamma=0.0, alpha=None):
    """The focal loss as in its paper, one binary problem per class: (N, P)."""
    wanted = F.one_hot(labels, K + 1)[..., :K].bool()
    prob = torch.where(wanted, logits.sigmoid(), 1 - logits.sigmoid())
    weight = 1.0 if alpha is None else torch.where(wanted, alpha, 1 - alpha)
    return (-weight * (1 - prob) ** gamma * prob.log()).sum(-1)


@pytest.mark.parametrize('normalize_by', ['batch', 'clip'])
@pytest.mark.parametrize('name', ['FocalLoss', 'CrossEntropyLoss'])
def test_losses_over_sigmoids_have_no_background(name, normalize_by):
    loss_cls = dict(type=f'mmdet.{name}', use_sigmoid=True, loss_weight=3.0)
    heads = [
        make(normalize_by, loss_cls=loss_cls) for make in (coarse_head, refine_head)
    ]
    coarse, refine, wanted = coarse_outputs(K), refine_outputs(K), targets(heads[0])
    assert all(head.use_sigmoid for head in heads)
    assert {head.cls_conv.out_channels for head in heads} == {K}
    found = heads[0].loss_by_feat(coarse, wanted)
    # Refined are the positives whose coarse segment overlaps: here all of them.
    found.update(heads[1].loss_by_feat(refine, coarse, wanted))
    positive = (wanted.labels < K).sum(1)
    for key, logits in (
        ('loss_coarse_cls', torch.cat(coarse.logits, 1)),
        ('loss_refine_cls', refine.logits),
    ):
        focal = dict(gamma=2.0, alpha=0.25) if name == 'FocalLoss' else {}
        values = sigmoid_focal(logits, wanted.labels, **focal).sum(1)  # (N,)
        expected = (values / positive.clamp(min=1)).mean()
        if normalize_by == 'batch':
            expected = values.sum() / positive.sum()
        assert_same(found[key], 3 * expected)


def test_warm_up_head():
    feats = [torch.rand(2, 8, 4, 2, 2)]
    found, modules = [], []
    for name in ('mmdet.CrossEntropyLoss', 'CrossEntropyLoss', 'mmdet.FocalLoss'):
        torch.manual_seed(0)
        head = DenseClassificationHead(K, 8, loss_cls=dict(type=name))
        modules.append(type(head.loss_cls).__module__.split('.')[0])
        gt_instances = [instances(*GT[0])] * 2
        found.append(head.loss(feats, T, gt_instances)['loss_warmup_cls'])
    # Without a scope the name stays MMAction2's.
    assert modules == ['mmdet', 'mmaction', 'mmdet']
    assert_same(found[0], found[1])
    assert found[2] > 0
