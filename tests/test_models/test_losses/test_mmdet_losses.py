"""Losses of MMDetection in our heads, named in a config by scope."""

import pytest
import torch
import torch.nn.functional as F
from tiny_models import instances
from torch.autograd import grad
from torch.testing import assert_close

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


def run(normalize_by, num_logits=K + 1, coarse=None, refine=None):
    """Both heads, with some losses of their own, on random predictions of three clips.

    Returns:
        Heads, predictions, targets, and losses by name. Coarse segments are close
        enough to be refined.
    """
    options = dict(num_groups=2, normalize_by=normalize_by)
    coarse_head = CoarseHead(K, 8, num_levels=3, **options, **coarse or {})
    options['refine_iou_thr'] = 0.0
    refine_head = BoundaryRefineHead(K, 8, **options, **refine or {})
    generator, n, p = torch.Generator().manual_seed(0), len(GT), sum(LENGTHS)
    distances = 1 + 6 * torch.rand(n, p, 2, generator=generator)
    sizes = ((num_logits,), (2,), (num_logits,), ())
    noise = [torch.randn(n, p, *size, generator=generator) for size in sizes]
    pred = [x.requires_grad_() for x in (distances, *noise)]
    outputs = CoarseOutputs((), (), *(x.split(LENGTHS, 1) for x in pred[:2]))
    points = SegmentPointGenerator().level_points(LENGTHS, T)
    gt = [instances(*clip) for clip in GT]
    targets = coarse_head.get_targets(points, gt)
    losses = coarse_head.loss_by_feat(outputs, targets)
    losses |= refine_head.loss_by_feat(RefineOutputs(*pred[2:]), outputs, targets, gt)
    return (coarse_head, refine_head), pred, targets, losses


def assert_same(found, expected):
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


SMOOTH, FACTOR = dict(beta=0.5, loss_weight=2.0), dict(loss_weight=10.0)
# gamma 0 and equal weights leave nothing but the cross entropy.
PLAIN_FOCAL = dict(gamma=0.0, alpha=0.5, eps=0.0, loss_weight=4.0)
CROSS = ('CrossEntropyLoss', dict(loss_weight=2.0), 'SoftmaxFocalLoss', PLAIN_FOCAL)
BINARY = dict(use_sigmoid=True)


@pytest.mark.parametrize('normalize_by', ['batch', 'clip'])
@pytest.mark.parametrize(
    'head, field, theirs, settings, ours, own_settings',
    [
        ('refine', 'loc', 'SmoothL1Loss', SMOOTH, 'SegmentSmoothL1Loss', SMOOTH),
        ('coarse', 'loc', 'L1Loss', {}, 'SegmentSmoothL1Loss', dict(beta=0.0)),
        ('coarse', 'loc', 'GIoULoss', FACTOR, 'SegmentGIoULoss', FACTOR),
        ('coarse', 'cls', *CROSS),
        ('refine', 'cls', *CROSS),
        ('refine', 'quality', 'CrossEntropyLoss', BINARY, 'QualityBCELoss', {}),
    ],
)
def test_their_loss_is_ours(
    normalize_by, head, field, theirs, settings, ours, own_settings
):
    results = []
    for name, options in ((f'mmdet.{theirs}', settings), (ours, own_settings)):
        loss = {f'loss_{field}': dict(options, type=name)}
        _, pred, _, losses = run(normalize_by, **{head: loss})
        assert all(value > 0 for value in losses.values())
        results.append((losses, grad(sum(losses.values()), pred)))
    assert_same(*results)


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
    loss = dict(type=f'mmdet.{name}', use_sigmoid=True, loss_weight=3.0)
    own = dict(loss_cls=loss)
    # Refined are the positives whose coarse segment overlaps: here all of them.
    heads, pred, targets, losses = run(normalize_by, K, own, own)
    assert all(head.use_sigmoid for head in heads)
    assert {head.cls_conv.out_channels for head in heads} == {K}
    positive = (targets.labels < K).sum(1)
    for key, logits in (('loss_coarse_cls', pred[1]), ('loss_refine_cls', pred[3])):
        focal = dict(gamma=2.0, alpha=0.25) if name == 'FocalLoss' else {}
        values = sigmoid_focal(logits, targets.labels, **focal).sum(1)  # (N,)
        expected = (values / positive.clamp(min=1)).mean()
        if normalize_by == 'batch':
            expected = values.sum() / positive.sum()
        assert_same(losses[key], 3 * expected)


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
