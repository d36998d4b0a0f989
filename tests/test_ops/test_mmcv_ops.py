"""Our operators against those of mmcv, with segments as boxes of height 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmtal_mts.evaluation.functional import merge_windows
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
    ('method', 'name_in_mmcv', 'settings'),
    [
        ('gaussian', 'gaussian', dict(sigma=0.5)),
        ('gaussian', 'gaussian', dict(sigma=0.1)),
        ('linear', 'linear', dict(iou_threshold=0.3)),
        ('hard', 'naive', dict(iou_threshold=0.4)),
    ],
)
def test_soft_nms_decays_as_that_of_mmcv(method, name_in_mmcv, settings):
    from mmcv.ops import soft_nms

    segments, scores = random_segments(200)
    kept_segments, kept_scores, kept = soft_nms_1d(
        segments, scores, method=method, min_score=0.02, **settings
    )
    boxes, index = soft_nms(
        as_boxes(segments), scores, method=name_in_mmcv, min_score=0.02, **settings
    )
    assert 10 < len(kept) < 200
    assert kept.tolist() == index.tolist()
    torch.testing.assert_close(kept_scores, boxes[:, 4], rtol=1e-4, atol=1e-6)
    assert torch.equal(kept_segments, boxes[:, [0, 2]])


def test_hard_suppression_is_nms():
    from mmcv.ops import nms

    segments, scores = random_segments(150)
    kept = soft_nms_1d(segments, scores, method='hard', iou_threshold=0.5)[2]
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
    boxes, index = batched_nms(
        as_boxes(segments),
        scores,
        labels,
        dict(type='soft_nms', method='gaussian', sigma=0.4, min_score=0.05),
    )
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


def pooling_example(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (2, 12, 40) without ties and regions (2, 50, 4) inside of the map."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randperm(2 * 12 * 40, generator=generator).float() / 100
    features = values.reshape(2, 12, 40).to(device).requires_grad_()
    bounds = torch.randint(0, 40, (2, 50, 2, 2), generator=generator)
    return features, bounds.sort(dim=-1).values.flatten(2).to(device)


def pooled_by_regions(pool, features: torch.Tensor, regions: torch.Tensor):
    """Boundary pooling by an operator that pools regions of a picture.

    Args:
        pool: Maps a picture (N, C, 1, T) and regions (R, 3), which are the number in
            the batch, the first and the last position, to (R, C, 1, 1).
        features: (N, C, T).
        regions: (N, S, 4).

    Returns:
        (N, C, S).
    """
    n, count = regions.shape[:2]
    number = torch.arange(n, device=regions.device).repeat_interleave(count)[:, None]
    halves = []
    for half, bounds in zip(
        features.chunk(2, 1), regions.flatten(0, 1).split(2, -1), strict=True
    ):
        found = pool(half[:, :, None].contiguous(), torch.cat([number, bounds], 1))
        halves.append(found.reshape(n, count, -1).mT)
    return torch.cat(halves, dim=1)


def check_pooling(pool, device: str) -> None:
    """Values and gradients of the pooling are those of mmcv's operator."""
    features, regions = pooling_example(device)
    pooled = boundary_max_pooling(features, regions)
    expected = pooled_by_regions(pool, features, regions)
    torch.testing.assert_close(pooled, expected, rtol=0, atol=1e-5)
    weight = torch.rand(pooled.shape, device=device)
    (ours,) = torch.autograd.grad(pooled, features, weight)
    (theirs,) = torch.autograd.grad(expected, features, weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='roi_pool of mmcv has no kernel for the CPU'
)
def test_pooling_is_roi_pool():
    from mmcv.ops import roi_pool

    def pool(picture, regions):
        number, first, last = regions.float().unbind(1)
        zero = torch.zeros_like(first)
        return roi_pool(picture, torch.stack([number, first, zero, last, zero], 1), 1)

    check_pooling(pool, 'cuda')


def test_pooling_is_the_maximum_of_roi_align():
    from mmcv.ops import RoIAlign

    # One bin, sampled once per position and exactly on it, so nothing is interpolated.
    align = RoIAlign(1, sampling_ratio=0, pool_mode='max', aligned=True)

    def pool(picture, regions):
        number, first, last = regions.float().unbind(1)
        low, high = torch.zeros_like(first), torch.ones_like(first)
        boxes = torch.stack([number, first, low, last + 1, high], 1)
        return align(picture, boxes)

    check_pooling(pool, 'cpu')
