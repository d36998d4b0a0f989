"""Our operators against those of mmcv, with segments as boxes of height 1."""

from __future__ import annotations

import pytest
import torch

from mmtal_mts.ops import boundary_max_pooling, soft_nms_1d

pytestmark = [pytest.mark.full, pytest.mark.compiled]


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

    # Overlapping segments in seconds; no two scores are alike.
    torch.manual_seed(200)
    start, length, scores = torch.rand(3, 200)
    start, scores = start * 60, scores * 0.9 + 0.05
    segments = torch.stack([start, start + (1 + length * 15)], dim=1)
    low, high = torch.zeros(200), torch.ones(200)
    rows = torch.stack([segments[:, 0], low, segments[:, 1], high], dim=1)
    settings = dict(settings, min_score=0.02)
    inputs = segments.numpy(), scores.numpy()
    found = soft_nms_1d(*inputs, method=method, **settings)
    kept_segments, kept_scores, kept = map(torch.from_numpy, found)
    boxes, index = soft_nms(rows, scores, method=theirs, **settings)
    assert 10 < len(kept) < 200
    assert kept.tolist() == index.tolist()
    torch.testing.assert_close(kept_scores, boxes[:, 4], rtol=1e-4, atol=1e-6)
    assert torch.equal(kept_segments, boxes[:, [0, 2]])


def test_pooling_is_the_maximum_of_roi_align():
    from mmcv.ops import RoIAlign

    # No ties; regions inside of the map, as boxes of height 1.
    values = torch.randperm(2 * 12 * 40).float() / 100
    features = values.reshape(2, 12, 40).requires_grad_()
    bounds = torch.randint(0, 40, (2, 50, 2, 2)).sort(-1).values
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
