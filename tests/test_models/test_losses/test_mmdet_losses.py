"""Losses of MMDetection in our heads, named in a config by scope."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData

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
each_normalizer = pytest.mark.parametrize('normalize_by', ['batch', 'clip'])


def coarse_head(normalize_by, **losses):
    return CoarseHead(
        K, 8, num_levels=3, num_groups=2, normalize_by=normalize_by, **losses
    )


def refine_head(normalize_by, **losses):
    return BoundaryRefineHead(
        K, 8, num_groups=2, refine_iou_thr=0.0, normalize_by=normalize_by, **losses
    )


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
    locations = sum(LENGTHS)
    tensors = (
        torch.randn(len(GT), locations, size, generator=generator).requires_grad_()
        for size in (2, num_logits)
    )
    quality = torch.randn(len(GT), locations, generator=generator).requires_grad_()
    return RefineOutputs(*tensors, quality)


def targets(head):
    instances = [
        InstanceData(
            segments=torch.tensor(segments).reshape(-1, 2), labels=torch.tensor(labels)
        )
        for segments, labels in GT
    ]
    return head.get_targets(SegmentPointGenerator().level_points(LENGTHS, T), instances)


def coarse_losses(normalize_by, num_logits=K + 1, **losses):
    """Losses of the coarse head and the gradient of their sum."""
    head, outputs = coarse_head(normalize_by, **losses), coarse_outputs(num_logits)
    found = head.loss_by_feat(outputs, targets(head))
    inputs = (*outputs.distances, *outputs.logits)
    return found, torch.autograd.grad(sum(found.values()), inputs)


def refine_losses(normalize_by, num_logits=K + 1, **losses):
    """Losses of the refine head and the gradient of their sum."""
    head, outputs = refine_head(normalize_by, **losses), refine_outputs(num_logits)
    wanted = targets(coarse_head(normalize_by))
    found = head.loss_by_feat(outputs, coarse_outputs(num_logits), wanted)
    return found, torch.autograd.grad(sum(found.values()), outputs[:3])


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@each_normalizer
def test_smooth_l1_is_ours(normalize_by):
    settings = dict(beta=0.5, loss_weight=2.0)
    found = refine_losses(
        normalize_by, loss_loc=dict(type='mmdet.SmoothL1Loss', **settings)
    )
    expected = refine_losses(
        normalize_by, loss_loc=dict(type='SegmentSmoothL1Loss', **settings)
    )
    assert found[0]['loss_refine_loc'] > 0
    assert_same(found, expected)


@each_normalizer
def test_l1_losses_work_on_coarse_distances_too(normalize_by):
    found = coarse_losses(normalize_by, loss_loc=dict(type='mmdet.L1Loss'))
    expected = coarse_losses(
        normalize_by, loss_loc=dict(type='SegmentSmoothL1Loss', beta=0.0)
    )
    assert_same(found, expected)


@each_normalizer
def test_giou_of_boxes_is_that_of_segments(normalize_by):
    settings = dict(loss_weight=10.0)
    found = coarse_losses(
        normalize_by, loss_loc=dict(type='mmdet.GIoULoss', **settings)
    )
    expected = coarse_losses(
        normalize_by, loss_loc=dict(type='SegmentGIoULoss', **settings)
    )
    assert found[0]['loss_coarse_loc'] > 0
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


@each_normalizer
def test_cross_entropy_over_a_softmax(normalize_by):
    loss_cls = dict(type='mmdet.CrossEntropyLoss', loss_weight=2.0)
    # gamma 0 and equal weights leave nothing but the cross entropy.
    same = dict(type='SoftmaxFocalLoss', gamma=0.0, alpha=0.5, eps=0.0, loss_weight=4.0)
    for losses in (coarse_losses, refine_losses):
        assert_same(
            losses(normalize_by, loss_cls=loss_cls), losses(normalize_by, loss_cls=same)
        )


def test_sigmoid_cross_entropy_has_no_background():
    loss_cls = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
    head = coarse_head('batch', loss_cls=loss_cls)
    assert head.cls_conv.out_channels == K
    outputs, wanted = coarse_outputs(K), targets(head)
    found = head.loss_by_feat(outputs, wanted)['loss_coarse_cls']
    logits = torch.cat(outputs.logits, 1)
    one_hot = F.one_hot(wanted.labels, K + 1)[..., :K].float()
    total = F.binary_cross_entropy_with_logits(logits, one_hot, reduction='sum')
    assert_same(found, total / (wanted.labels < K).sum())


def sigmoid_focal(logits, labels, gamma=2.0, alpha=0.25):
    """The focal loss as in its paper, one binary problem per class: (M,)."""
    wanted = F.one_hot(labels, K + 1)[:, :K].bool()
    prob = torch.where(wanted, logits.sigmoid(), 1 - logits.sigmoid())
    weight = torch.where(wanted, alpha, 1 - alpha)
    return (-weight * (1 - prob) ** gamma * prob.log()).sum(1)


def test_focal_loss_over_sigmoids():
    loss_cls = dict(type='mmdet.FocalLoss', loss_weight=3.0)
    head = coarse_head('batch', loss_cls=loss_cls)
    assert head.use_sigmoid and head.cls_conv.out_channels == K
    outputs, wanted = coarse_outputs(K), targets(head)
    found = head.loss_by_feat(outputs, wanted)['loss_coarse_cls']
    values = sigmoid_focal(
        torch.cat(outputs.logits, 1).flatten(0, 1), wanted.labels.flatten()
    )
    assert_same(found, 3 * values.sum() / (wanted.labels < K).sum())


def test_focal_loss_by_clips_and_in_the_refine_head():
    loss_cls = dict(type='mmdet.FocalLoss')
    head, outputs = refine_head('clip', loss_cls=loss_cls), refine_outputs(K)
    wanted = targets(coarse_head('clip'))
    found = head.loss_by_feat(outputs, coarse_outputs(K), wanted)['loss_refine_cls']
    positive = wanted.labels < K
    values = sigmoid_focal(outputs.logits.flatten(0, 1), wanted.labels.flatten())
    per_clip = values.reshape(positive.shape).sum(1) / positive.sum(1).clamp(min=1)
    # Refined are the positives whose coarse segment overlaps: here all of them.
    assert_same(found, per_clip.mean())


@each_normalizer
def test_quality_by_the_sigmoid_cross_entropy(normalize_by):
    loss_quality = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
    assert_same(
        refine_losses(normalize_by, loss_quality=loss_quality),
        refine_losses(normalize_by, loss_quality=dict(type='QualityBCELoss')),
    )


def test_warm_up_head():
    feats = [torch.rand(2, 8, 4, 2, 2)]
    found, modules = [], []
    for name in ('mmdet.CrossEntropyLoss', 'CrossEntropyLoss', 'mmdet.FocalLoss'):
        torch.manual_seed(0)
        head = DenseClassificationHead(K, 8, loss_cls=dict(type=name))
        modules.append(type(head.loss_cls).__module__.split('.')[0])
        instances = [
            InstanceData(segments=torch.tensor([[0.0, 16.0]]), labels=torch.tensor([1]))
        ] * 2
        found.append(head.loss(feats, T, instances)['loss_warmup_cls'])
    # Without a scope the name stays MMAction2's.
    assert modules == ['mmdet', 'mmaction', 'mmdet']
    assert_same(found[0], found[1])
    assert found[2] > 0
