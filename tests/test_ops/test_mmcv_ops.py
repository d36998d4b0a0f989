"""Our operators against those of mmcv, with segments as boxes of height 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtal_mts.evaluation import merge_windows
from mmtal_mts.ops import boundary_max_pooling, soft_nms_1d
from mmtal_mts.structures import Segments
from mmtal_mts.structures.segments import pairwise_tiou

pytestmark = pytest.mark.full


def random_segments(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping segments (S, 2) in seconds and their scores (S,), no two alike."""
    generator = torch.Generator().manual_seed(count)
    start = torch.rand(count, generator=generator) * 60
    length = 1 + torch.rand(count, generator=generator) * 15
    scores = torch.rand(count, generator=generator) * 0.9 + 0.05
    return torch.stack([start, start + length], dim=1), scores


def as_boxes(segments: torch.Tensor) -> torch.Tensor:
    """Segments (S, 2) -> boxes (S, 4) x1, y1, x2, y2 of height 1."""
    low, high = torch.zeros(len(segments), 1), torch.ones(len(segments), 1)
    return torch.cat([segments[:, :1], low, segments[:, 1:], high], dim=1)


@pytest.mark.parametrize(
    ('method', 'theirs', 'settings'),
    [
        ('gaussian', 'gaussian', dict(sigma=0.5)),
        ('gaussian', 'gaussian', dict(sigma=0.1)),
        ('linear', 'linear', dict(iou_threshold=0.3)),
        ('hard', 'naive', dict(iou_threshold=0.4)),
    ],
)
def test_soft_nms_decays_as_that_of_mmcv(method, theirs, settings):
    from mmcv.ops import soft_nms

    segments, scores = random_segments(200)
    settings = dict(settings, min_score=0.02)
    inputs = segments.numpy(), scores.numpy()
    found = soft_nms_1d(*inputs, method=method, **settings)
    kept_segments, kept_scores, kept = map(torch.from_numpy, found)
    boxes, index = soft_nms(as_boxes(segments), scores, method=theirs, **settings)
    assert 10 < len(kept) < 200
    assert kept.tolist() == index.tolist()
    torch.testing.assert_close(kept_scores, boxes[:, 4], rtol=1e-4, atol=1e-6)
    assert torch.equal(kept_segments, boxes[:, [0, 2]])


def test_hard_suppression_is_nms():
    from mmcv.ops import nms

    segments, scores = random_segments(150)
    inputs = segments.numpy(), scores.numpy()
    kept = soft_nms_1d(*inputs, method='hard', iou_threshold=0.5)[2]
    index = nms(as_boxes(segments), scores, iou_threshold=0.5)[1]
    assert kept.tolist() == index.tolist()
    assert len(kept) < 150


def test_classes_are_suppressed_one_by_one_as_in_batched_nms():
    from mmcv.ops import batched_nms

    segments, scores = random_segments(240)
    labels = torch.arange(240) % 4
    found = Segments(segments.numpy(), labels.numpy(), scores.numpy())
    test_cfg = dict(nms=dict(sigma=0.4, min_score=0.05))
    merged = merge_windows([found], None, test_cfg)
    settings = dict(type='soft_nms', method='gaussian', sigma=0.4, min_score=0.05)
    boxes, index = batched_nms(as_boxes(segments), scores, labels, settings)
    assert len(merged.scores) == len(index) < 240
    np.testing.assert_array_equal(merged.labels, labels[index])
    np.testing.assert_allclose(merged.scores, boxes[:, 4], rtol=1e-3)
    np.testing.assert_allclose(merged.segments, boxes[:, [0, 2]], rtol=1e-6)


def test_tiou_is_the_overlap_of_boxes():
    from mmcv.ops import bbox_overlaps

    segments = random_segments(60)[0]
    expected = bbox_overlaps(as_boxes(segments), as_boxes(segments))
    tiou = pairwise_tiou(segments.numpy(), segments.numpy())
    np.testing.assert_allclose(tiou, expected, rtol=1e-4, atol=1e-6)


def test_pooling_is_the_maximum_of_roi_align():
    from mmcv.ops import RoIAlign

    generator = torch.Generator().manual_seed(0)
    # No ties; regions inside of the map, as boxes of height 1.
    values = torch.randperm(2 * 12 * 40, generator=generator).float() / 100
    features = values.reshape(2, 12, 40).requires_grad_()
    bounds = torch.randint(0, 40, (2, 50, 2, 2), generator=generator).sort(-1).values
    # One bin, sampled once per position and exactly on it, so nothing is interpolated.
    align = RoIAlign(1, sampling_ratio=0, pool_mode='max', aligned=True)
    number = torch.arange(2.0).repeat_interleave(50)
    expected = []
    for side, half in enumerate(features.chunk(2, 1)):
        first, last = bounds[:, :, side].flatten(0, 1).float().unbind(1)
        low, high = torch.zeros_like(first), torch.ones_like(first)
        boxes = torch.stack([number, first, low, last + 1, high], 1)
        found = align(half[:, :, None].contiguous(), boxes)
        expected.append(found.reshape(2, 50, -1).mT)
    expected = torch.cat(expected, dim=1)
    pooled = boundary_max_pooling(features, bounds.flatten(2))
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)
    weight = torch.rand(pooled.shape)
    (ours,) = torch.autograd.grad(pooled, features, weight)
    (theirs,) = torch.autograd.grad(expected, features, weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
