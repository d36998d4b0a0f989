import math

import pytest
import torch
from mmengine.structures import InstanceData

from mmtal_mts.models.dense_heads import BoundaryRefineHead, CoarseHead
from mmtal_mts.models.layers import FrameSelfAttention
from mmtal_mts.models.necks import NeckFeatures
from mmtal_mts.models.task_modules import SegmentPointGenerator
from mmtal_mts.ops import boundary_max_pooling, boundary_max_pooling_levels

LENGTHS = (4, 2, 1)
T = 16
K = 3


def features(batch=1, context=True, channels=8):
    torch.manual_seed(0)
    levels = tuple(torch.rand(batch, channels, n) for n in LENGTHS)
    other = tuple(torch.rand(batch, channels, n) for n in LENGTHS)
    return NeckFeatures(
        levels,
        other if context else None,
        torch.rand(batch, channels, T),
        torch.randn(batch, 3, T, 8, 8),
    )


def coarse_head(**kwargs):
    options = dict(num_classes=K, channels=8, num_levels=3, num_groups=2)
    options.update(kwargs)
    return CoarseHead(**options)


def refine_head(**kwargs):
    options = dict(num_classes=K, channels=8, num_groups=2)
    options.update(kwargs)
    return BoundaryRefineHead(**options)


def points():
    return SegmentPointGenerator().level_points(LENGTHS, T)


def gt(segments, labels):
    return InstanceData(
        segments=torch.tensor(segments, dtype=torch.float32).reshape(-1, 2),
        labels=torch.tensor(labels, dtype=torch.long),
    )


def test_coarse_distances_are_exp_of_the_scaled_convolution():
    head = coarse_head(distance_factors=(1.0, 2.0, 5.0))
    head.scales[1].scale.data.fill_(0.5)
    head.loc_conv.weight.data.zero_()
    head.loc_conv.bias.data.copy_(torch.tensor([1.0, 2.0]))
    distances = head(features()).distances
    torch.testing.assert_close(
        distances[0], torch.tensor([math.e, math.e**2]).expand(1, 4, 2)
    )
    torch.testing.assert_close(
        distances[1], 2 * torch.tensor([math.exp(0.5), math.e]).expand(1, 2, 2)
    )
    assert distances[2][0, 0, 0].item() == pytest.approx(5 * math.e)


def test_context_reaches_classification_only():
    head = coarse_head()
    inputs = features()
    before = head(inputs)
    moved = inputs._replace(context=tuple(x + torch.rand_like(x) for x in inputs[1]))
    after = head(moved)
    for i in range(3):
        assert torch.equal(before.distances[i], after.distances[i])
        assert not torch.equal(before.logits[i], after.logits[i])


def test_only_the_first_classification_layer_grows():
    with_context, without = coarse_head(), coarse_head(with_context=False)
    sizes = [
        {name: p.shape for name, p in head.named_parameters()}
        for head in (with_context, without)
    ]
    differing = [name for name in sizes[0] if sizes[0][name] != sizes[1][name]]
    assert differing == ['cls_tower.0.conv.weight']
    assert sizes[0][differing[0]][1] == 2 * sizes[1][differing[0]][1]


def test_coarse_misfits_are_named():
    with pytest.raises(ValueError, match='with_context=True, but neck.stt is off'):
        coarse_head()(features(context=False))
    with pytest.raises(ValueError, match='neck has 3 levels.*num_levels is 4'):
        coarse_head(num_levels=4)(features())
    with pytest.raises(ValueError, match='distance_factors'):
        coarse_head(distance_factors=(1.0,))


def test_coarse_loss_without_positives_divides_by_one():
    head = coarse_head()
    outputs = head(features(batch=2))
    targets = head.get_targets(points(), [gt([], []), gt([], [])])
    assert (targets.labels == K).all()
    losses = head.loss_by_feat(outputs, targets)
    assert losses['loss_coarse_loc'] == 0
    logits = torch.cat(outputs.logits, 1).flatten(0, 1)
    p = logits.softmax(-1)[:, K] + 1e-6
    expected = (0.25 * (1 - p) ** 2 * -p.log()).sum()
    torch.testing.assert_close(losses['loss_coarse_cls'], expected)


def test_coarse_loss_is_divided_by_the_positives_of_the_batch():
    head = coarse_head()
    outputs = head(features(batch=2))
    targets = head.get_targets(points(), [gt([[0, 16]], [1]), gt([[5, 9]], [2])])
    # Clip 0: all 7 locations; clip 1: points 6 (level 0) and 8 (level 2).
    assert (targets.labels < K).sum(1).tolist() == [7, 2]
    losses = head.loss_by_feat(outputs, targets)
    total = 0.0
    distances = torch.cat(outputs.distances, 1)
    for n, p in torch.nonzero(targets.labels < K).tolist():
        a, b = distances[n, p].tolist(), targets.distances[n, p].tolist()
        inter = min(a[0], b[0]) + min(a[1], b[1])
        total += 1 - inter / (sum(a) + sum(b) - inter)
    assert losses['loss_coarse_loc'].item() == pytest.approx(total / 9, rel=1e-5)


def frames(batch=1):
    return torch.randn(batch, 3, T, 8, 8)


def test_fsa_sees_one_frame_at_a_time():
    fsa = FrameSelfAttention(
        crop_size=8, embed_dims=8, out_channels=4, patch_size=4, num_heads=2
    ).eval()
    clip = frames()
    feature = fsa(clip)
    assert feature.shape == (1, 4, T)
    alone = fsa(clip[:, :, 5:6])
    torch.testing.assert_close(feature[..., 5:6], alone)


def test_fsa_equation_5_step_by_step():
    fsa = FrameSelfAttention(
        crop_size=8, embed_dims=8, out_channels=4, patch_size=4, num_heads=2
    ).eval()
    clip = frames()
    tokens = fsa.patch_embedding(clip)[0, 3]  # (Z, E) with position
    attended = fsa.encoder[0](tokens[None])[0]
    expected = torch.stack([fsa.linear(token) for token in attended]).mean(0)
    torch.testing.assert_close(fsa(clip)[0, :, 3], expected)


def run_refine(head, batch=1):
    coarse = coarse_head()(features(batch))
    inputs = features(batch)
    return head(inputs, coarse), coarse, inputs


def test_refine_head_equation_6_location_by_location():
    head = refine_head().eval()
    outputs, coarse, inputs = run_refine(head)
    regions = head.regions
    branch = head.loc_branch
    at = 0
    for i, level_points in enumerate(points()):
        distances = coarse.distances[i]
        level = branch.level(coarse.loc_feats[i])
        # Slow pooling, one segment at a time, from the definition.
        columns = []
        for j, point in enumerate(level_points):
            on_frame = regions.frame_regions(point[None], distances[:, j : j + 1])[0, 0]
            on_level = regions.level_regions(distances, T)[0, j]
            columns.append(
                (
                    slow_pool(inputs.frame_level[0], on_frame),
                    slow_pool(level[0], on_level),
                )
            )
        pooled = torch.stack([c[0] for c in columns], -1)[None]
        on_level = torch.stack([c[1] for c in columns], -1)[None]
        fused = branch.fuse(
            torch.cat(
                [branch.frame(pooled), on_level, branch.own(coarse.loc_feats[i])], 1
            )
        )
        expected = head.offset_conv(fused)[0].T
        stop = at + len(level_points)
        torch.testing.assert_close(outputs.offsets[0, at:stop], expected)
        at = stop


def slow_pool(x, region):
    channels, length = x.shape
    bounds = [min(max(int(v), 0), length - 1) for v in region.tolist()]
    halves = []
    for half, (first, last) in zip(
        x.split(channels // 2), (bounds[:2], bounds[2:]), strict=True
    ):
        halves.append(half[:, first : max(last, first) + 1].max(-1).values)
    return torch.cat(halves)


def test_fsa_is_fused_back_and_off_by_none():
    fsa = dict(
        type='FrameSelfAttention',
        crop_size=8,
        embed_dims=8,
        out_channels=8,
        patch_size=4,
        num_heads=2,
    )
    head = refine_head(fsa=fsa)
    inputs = features()
    fused = head.frame_level(inputs)
    both = torch.cat([inputs.frame_level, head.fsa(inputs.frames)], 1)
    expected = head.frame_fuse(both)
    torch.testing.assert_close(fused, expected)
    plain = refine_head()
    assert plain.frame_level(inputs) is inputs.frame_level
    assert not any(
        'fsa' in name or 'fuse' == name for name, _ in plain.named_children()
    )


def test_no_gradient_flows_through_the_regions():
    head, coarse_module = refine_head(), coarse_head()
    inputs = features()
    coarse = coarse_module(inputs)
    outputs = head(inputs, coarse)
    outputs.offsets.sum().backward()
    assert coarse_module.loc_conv.weight.grad is None
    assert coarse_module.loc_tower[0].conv.weight.grad.abs().sum() > 0


def test_refine_loss_by_hand():
    head = refine_head()
    outputs, coarse, _ = run_refine(head)
    distances = torch.cat(coarse.distances, 1)
    module = coarse_head()
    # One segment around point 8 (level 2) that equals its coarse segment, so that
    # location is refined; the others reach whatever they reach.
    d = distances[0, 6]
    segment = [8 - d[0].item(), 8 + d[1].item()]
    targets = module.get_targets(points(), [gt([segment], [2])])
    losses = head.loss_by_feat(outputs, coarse, targets)

    refined = []
    for p in range(7):
        if targets.labels[0, p] == K:
            continue
        a, b = distances[0, p].tolist(), targets.distances[0, p].tolist()
        inter = min(a[0], b[0]) + min(a[1], b[1])
        if inter / (sum(a) + sum(b) - inter) >= 0.5:
            refined.append(p)
    assert 6 in refined
    loc = quality = 0.0
    for p in refined:
        a, b = distances[0, p], targets.distances[0, p]
        error = (outputs.offsets[0, p] - (b - a) / (a.sum() / 2)).abs()
        loc += torch.where(error < 1, 0.5 * error**2, error - 0.5).sum().item()
        final = a + a.sum() / 2 * outputs.offsets[0, p]
        inter = torch.minimum(final, b).sum()
        tiou = (inter / (final.sum() + b.sum() - inter)).clamp(min=0).item()
        q = torch.sigmoid(outputs.quality_logits[0, p]).item()
        quality -= tiou * math.log(q) + (1 - tiou) * math.log(1 - q)
    assert losses['loss_refine_loc'].item() == pytest.approx(
        loc / len(refined), rel=1e-4, abs=1e-6
    )
    assert losses['loss_quality'].item() == pytest.approx(
        quality / len(refined), rel=1e-4
    )


def test_refine_loss_without_refined_positives():
    head = refine_head()
    outputs, coarse, _ = run_refine(head)
    targets = coarse_head().get_targets(points(), [gt([], [])])
    losses = head.loss_by_feat(outputs, coarse, targets)
    assert losses['loss_refine_loc'] == 0 and losses['loss_quality'] == 0
    assert losses['loss_refine_cls'] > 0
    sum(losses.values()).backward()


def test_quality_over_all_coarse_positives_and_its_gradient():
    outputs, coarse, _ = run_refine(refine_head())
    targets = coarse_head().get_targets(points(), [gt([[0, 16]], [0])])
    refined = refine_head(refine_iou_thr=2.0)
    assert refined.loss_by_feat(outputs, coarse, targets)['loss_quality'] == 0
    head = refine_head(quality_over='coarse', refine_iou_thr=2.0)
    loss = head.loss_by_feat(outputs, coarse, targets)['loss_quality']
    assert loss > 0
    (grad,) = torch.autograd.grad(loss, outputs.offsets, allow_unused=True)
    assert grad is None
    outputs, coarse, _ = run_refine(refine_head())
    head = refine_head(quality_over='coarse', quality_target_grad=True)
    loss = head.loss_by_feat(outputs, coarse, targets)['loss_quality']
    (grad,) = torch.autograd.grad(loss, outputs.offsets)
    assert grad.abs().sum() > 0
    with pytest.raises(ValueError, match='quality_over'):
        refine_head(quality_over='all')


def test_pooling_all_levels_in_one_call_equals_level_by_level():
    levels = [torch.randint(0, 4, (2, 6, n)).float() for n in (8, 4, 1)]
    regions = [torch.randint(-5, 12, (2, n + 1, 4)) - 0.5 for n in (8, 4, 1)]
    pooled = boundary_max_pooling_levels(levels, regions)
    for one, level, region in zip(pooled, levels, regions, strict=True):
        assert torch.equal(one, boundary_max_pooling(level, region))
