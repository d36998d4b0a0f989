"""Heads against eq. 2-6 and that of the warm-up, their losses, and detections.

Also where every class is rated by itself: K logits, no background.
"""

import math

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from plain_baselines import pool_segment_by_segment
from tiny_models import clip_sample, instances
from torch import nn
from torch.testing import assert_close

from mmtal_mts.models import mean_raw_outputs
from mmtal_mts.models.dense_heads import (
    BoundaryRefineHead,
    CoarseHead,
    CoarseOutputs,
    DenseClassificationHead,
    RefineOutputs,
    add_pred_to_datasample,
    complete_test_cfg,
    select_detections,
)
from mmtal_mts.models.necks import NeckFeatures
from mmtal_mts.models.task_modules import SegmentPointGenerator

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic-two-stream.py'
SIGMOID = dict(type='SigmoidLossOfTheTests')
LENGTHS = (4, 2, 1)
T, K = 16, 3
POINTS = SegmentPointGenerator().level_points(LENGTHS, T)
FSA = dict(crop_size=8, embed_dims=8, out_channels=8, patch_size=4, num_heads=2)


def features(context=True):
    torch.manual_seed(0)
    levels, other = (tuple(torch.rand(1, 8, n) for n in LENGTHS) for _ in range(2))
    frame_level, frames = torch.rand(1, 8, T), torch.randn(1, 3, T, 8, 8)
    return NeckFeatures(levels, other if context else None, frame_level, frames)


def coarse_head(**kwargs):
    return CoarseHead(K, 8, **dict(num_levels=3, num_groups=2) | kwargs)


def refine_head(**kwargs):
    return BoundaryRefineHead(K, 8, num_groups=2, **kwargs)


def test_coarse_distances_are_exp_of_the_scaled_convolution():
    head = coarse_head(distance_factors=(1.0, 2.0, 5.0))
    head.scales[1].scale.data.fill_(0.5)
    head.loc_conv.weight.data.zero_()
    head.loc_conv.bias.data.copy_(torch.tensor([1.0, 2.0]))
    found = [d.unique(dim=1).squeeze().tolist() for d in head(features()).distances]
    e = math.e
    expected = [(e, e**2), (2 * e**0.5, 2 * e), (5 * e, 5 * e**2)]
    assert found == [pytest.approx(pair, rel=1e-5) for pair in expected]


def test_context_reaches_classification_only():
    head = coarse_head()
    inputs = features()
    before = head(inputs)
    moved = inputs._replace(context=tuple(x + torch.rand_like(x) for x in inputs[1]))
    after = head(moved)
    for i in range(3):
        assert torch.equal(before.distances[i], after.distances[i])
        assert not torch.equal(before.logits[i], after.logits[i])


def test_coarse_misfits_are_named():
    for inputs, options, message in (
        (features(context=False), {}, 'with_context=True, but neck.stt is off'),
        (features(), dict(num_levels=4), 'neck has 3 levels.*num_levels is 4'),
        (features(), dict(distance_factors=(1.0,)), 'distance_factors'),
    ):
        with pytest.raises(ValueError, match=message):
            coarse_head(**options)(inputs)


def targets_of(segment, label):
    return coarse_head().get_targets(POINTS, [instances([segment], [label])])


def tiou(a, b):
    """Of two segments, as their distances to start and end from one point."""
    inter = torch.minimum(a, b).sum()
    return (inter / (a.sum() + b.sum() - inter)).item()


def test_fsa_is_equation_5_frame_by_frame_fused_back_and_off_by_none():
    fsa = dict(type='FrameSelfAttention', **FSA)
    head, inputs = refine_head(fsa=fsa, fuse_by='concat'), features()
    feature = head.fsa(inputs.frames)
    tokens = head.fsa.patch_embedding(inputs.frames)[0, 3]  # (Z, E) with position
    attended = head.fsa.encoder[0](tokens[None])[0]
    expected = torch.stack([head.fsa.linear(token) for token in attended]).mean(0)
    assert_close(feature[0, :, 3], expected)
    both = torch.cat([inputs.frame_level, feature], 1)
    fused = head.frame_level(inputs._replace(foreground=feature))
    assert_close(fused, head.frame_fuse(both))
    plain = refine_head()
    assert plain.frame_level(inputs) is inputs.frame_level
    assert not any('fsa' in name or 'frame_fuse' in name for name in plain.state_dict())


def test_with_fsa_the_head_starts_as_the_one_without_and_learns_to_add_it():
    head = refine_head(fsa=dict(type='FrameSelfAttention', **FSA))
    head.init_cfg = dict(type='Xavier', layer='Conv1d', distribution='uniform')
    head.init_weights()
    inputs = features()
    frame_level, foreground = inputs.frame_level.relu(), head.fsa(inputs.frames)
    inputs = inputs._replace(frame_level=frame_level, foreground=foreground)
    out = head.frame_level(inputs)
    assert_close(out, inputs.frame_level)
    out.sum().backward()
    assert head.frame_fuse.weight.grad.abs().sum() > 0
    head.frame_fuse.weight.data.normal_()
    expected = inputs.frame_level + head.frame_fuse(foreground)
    assert_close(head.frame_level(inputs), expected.relu())
    with pytest.raises(ValueError, match="fuse_by='product': choose 'sum' or 'concat'"):
        refine_head(fsa=dict(type='FrameSelfAttention', **FSA), fuse_by='product')


def test_with_stt_the_coarse_head_starts_as_the_one_without():
    init_cfg = dict(type='Xavier', layer='Conv1d', distribution='uniform')
    head = coarse_head(with_context=True, init_cfg=init_cfg)
    head.init_weights()
    inputs = features()
    pyramid = inputs.pyramid
    outputs = [
        head(inputs._replace(context=tuple(f(x) for x in pyramid)))
        for f in (torch.zeros_like, torch.randn_like)
    ]
    assert_close(outputs[0].logits, outputs[1].logits)
    weight = head.cls_tower[0].conv.weight
    own, context = weight.chunk(2, dim=1)
    bound = math.sqrt(6 / (own.shape[1] + own.shape[0]) / own.shape[2])
    assert 0.9 * bound < own.abs().max() <= bound  # Xavier of the pyramid alone
    outputs[1].logits[0].sum().backward()
    assert weight.grad[:, own.shape[1] :].abs().sum() > 0
    literal = coarse_head(with_context=True, zero_context=False, init_cfg=init_cfg)
    literal.init_weights()
    assert literal.cls_tower[0].conv.weight.chunk(2, dim=1)[1].abs().min() > 0


def run_refine(head):
    inputs = features()
    coarse = coarse_head()(inputs)
    return head(inputs, coarse), coarse, inputs


def test_refine_head_equation_6_location_by_location():
    head = refine_head()
    outputs, coarse, inputs = run_refine(head)
    branch, expected = head.loc_branch, []
    levels = zip(POINTS, coarse.distances, coarse.loc_feats, strict=True)
    for points, distances, feats in levels:
        regions = head.regions.frame_regions(points, distances)
        on_frame = pool_segment_by_segment(inputs.frame_level, regions)
        regions = head.regions.level_regions(distances, T)
        on_level = pool_segment_by_segment(branch.level(feats), regions)
        parts = [branch.frame(on_frame), on_level, branch.own(feats)]
        expected.append(head.offset_conv(branch.fuse(torch.cat(parts, 1))).mT)
    assert_close(outputs.offsets, torch.cat(expected, 1))


def test_no_gradient_flows_through_the_regions():
    outputs, coarse, _ = run_refine(refine_head())
    inputs = coarse.distances[0], coarse.loc_feats[0]
    regions, feats = torch.autograd.grad(outputs.offsets.sum(), inputs, allow_unused=1)
    assert regions is None and feats.abs().sum() > 0


def test_refine_loss_by_hand():
    head = refine_head()
    outputs, coarse, _ = run_refine(head)
    distances = torch.cat(coarse.distances, 1)
    # One segment around point 8 (level 2) that equals its coarse segment, so that
    # location is refined; the others reach whatever they reach.
    d = distances[0, 6]
    segment = [8 - d[0].item(), 8 + d[1].item()]
    targets = targets_of(segment, 2)
    losses = head.loss_by_feat(outputs, coarse, targets, [instances([segment], [2])])

    pairs = list(zip(distances[0], targets.distances[0], strict=True))
    positive = torch.nonzero(targets.labels[0] < K).flatten().tolist()
    refined = [p for p in positive if tiou(*pairs[p]) >= 0.5]
    assert 6 in refined
    loc = quality = 0.0
    for p in refined:
        a, b = pairs[p]
        error = (outputs.offsets[0, p] - (b - a) / (a.sum() / 2)).abs()
        loc += torch.where(error < 1, 0.5 * error**2, error - 0.5).sum().item()
        final = a + a.sum() / 2 * outputs.offsets[0, p]
        reached = max(tiou(final, b), 0)
        q = torch.sigmoid(outputs.quality_logits[0, p]).item()
        quality -= reached * math.log(q) + (1 - reached) * math.log(1 - q)
    found = [losses[name].item() * len(refined) for name in losses][1:]
    assert found == pytest.approx([loc, quality], rel=1e-4, abs=1e-6)


def test_quality_over_all_coarse_positives_and_its_gradient():
    targets = targets_of([0, 16], 0)

    def quality(**options):
        """The loss if nothing is refined, and its gradient for the offsets."""
        head = refine_head(refine_iou_thr=2.0, **options)
        outputs, coarse, _ = run_refine(head)
        gt = [instances([[0, 16]], [0])]
        loss = head.loss_by_feat(outputs, coarse, targets, gt)['loss_quality']
        return loss, torch.autograd.grad(loss, outputs.offsets, allow_unused=True)[0]

    assert quality()[0] == 0
    loss, grad = quality(quality_over='coarse')
    assert loss > 0 and grad is None
    grad = quality(quality_over='coarse', quality_target_grad=True)[1]
    assert grad.abs().sum() > 0
    with pytest.raises(ValueError, match="quality_over='none': choose .* or None"):
        refine_head(quality_over='none')


@pytest.mark.parametrize('normalize_by', ['batch', 'clip'])
def test_quality_over_all_locations_is_the_mean_of_what_they_reach(normalize_by):
    head = refine_head(quality_over='all', normalize_by=normalize_by)
    # The third location is outside of all actions, yet its segment is not; the other
    # clip has no action.
    points = [torch.tensor([3.0, 8.0, 12.0]), torch.tensor([15.0])]
    found = torch.tensor([[2, 6], [2, 10], [9, 12], [14, 16]]).float()
    distances = (found - torch.cat(points)[:, None]) * torch.tensor([-1.0, 1.0])
    gt = [instances([[2, 4], [4, 10], [5, 6]], [0, 1, 2]), instances([], [])]
    coarse = coarse_head().get_targets(points, gt)
    quality = torch.randn(2, 4, requires_grad=True)
    outputs = RefineOutputs(torch.zeros(2, 4, 2), torch.randn(2, 4, K + 1), quality)
    levels = torch.stack([distances, distances]).split((3, 1), dim=1)
    inputs = CoarseOutputs((), (), levels, (), points)
    loss = head.loss_by_feat(outputs, inputs, coarse, gt)['loss_quality']
    reached = torch.tensor([[0.5, 0.75, 0.125, 0.0], [0.0] * 4])
    assert_close(loss, nn.functional.binary_cross_entropy(quality.sigmoid(), reached))
    (grad,) = torch.autograd.grad(loss, quality)
    assert_close(grad, (quality.sigmoid() - reached) / 8)


def test_no_quality_is_trained_nor_part_of_the_score():
    gt = [instances([[0, 16]], [0])]
    head = refine_head(quality_over=None)
    outputs, coarse, _ = run_refine(head)
    losses = head.loss_by_feat(outputs, coarse, targets_of([0, 16], 0), gt)
    assert losses['loss_quality'] == 0
    # Yet the convolution has a gradient, so that no process waits for it.
    (grad,) = torch.autograd.grad(losses['loss_quality'], outputs.quality_logits)
    assert (grad == 0).all()
    scores = head.decode(raw(), 16)[1]
    assert_close(scores, 2 * refine_head().decode(raw(), 16)[1])
    assert_close(scores[0, 0], torch.tensor([0.4, 0.2]))


@pytest.fixture
def warmup_head():
    return DenseClassificationHead(K, 4)


@pytest.fixture
def maps():
    """One map of two clips, with four channels and eight positions."""
    return (torch.rand(2, 4, 8, 3, 3),)


def test_warm_up_rates_the_mean_over_space_of_a_map(warmup_head, maps):
    logits, (x,) = warmup_head(maps), maps
    assert logits.shape == (2, 8, K)
    expected = warmup_head.fc.weight @ x[1, :, 5].mean((1, 2)) + warmup_head.fc.bias
    assert_close(logits[1, 5], expected)
    second = DenseClassificationHead(K, 4, feat_index=1)
    second.load_state_dict(warmup_head.state_dict())
    assert_close(second((x * 0, x)), logits)
    with pytest.raises(ValueError, match='warmup_head.in_channels=4'):
        warmup_head((torch.rand(1, 5, 8, 3, 3),))


def test_warm_up_loss_is_the_cross_entropy_inside_actions(warmup_head, maps):
    # Positions are centred at 2, 6, 10, ...: the first action holds 2 and 6, the
    # second one 18, and the other clip has none.
    gt = [instances([[0, 8], [16, 20]], [1, 2]), instances([], [])]
    losses = warmup_head.loss(maps, 32, gt)
    logits, labels = warmup_head(maps)[0, [0, 1, 4]].detach(), [1, 1, 2]
    probs = logits.softmax(1)[range(3), labels].tolist()
    expected = -sum(map(math.log, probs)) / 3
    assert losses['loss_warmup_cls'].item() == pytest.approx(expected)
    right = (logits.argmax(1) == torch.tensor(labels)).float().mean()
    assert losses['warmup_acc'].item() == pytest.approx(right.item())


def test_clips_without_an_action_warm_up_nothing_with_a_gradient(warmup_head, maps):
    loss = warmup_head.loss(maps, 32, [instances([], [])] * 2)['loss_warmup_cls']
    loss.backward()
    assert loss.item() == 0 and warmup_head.fc.weight.grad.abs().sum() == 0


def raw(offsets=(0.0, 0.0)):
    """One location of a clip whose scores are 0.2 and 0.1."""
    return dict(
        points=torch.tensor([10.0]),
        coarse_distances=torch.tensor([[[4.0, 6.0]]]),
        coarse_logits=torch.log(torch.tensor([[[0.2, 0.3, 0.5]]])),
        refine_offsets=torch.tensor([[offsets]]),
        refine_logits=torch.log(torch.tensor([[[0.6, 0.1, 0.3]]])),
        quality_logits=torch.tensor([[0.0]]),
    )


def predict(score_thr, *, offsets=(0.0, 0.0), **metainfo):
    head, clips = BoundaryRefineHead(2, 8, num_groups=2), [clip_sample(**metainfo)]
    return head.predict_by_feat(raw(offsets), 100, clips, dict(score_thr=score_thr))[0]


def test_detections_are_in_seconds_of_the_video():
    found = predict(0.15, offset=50)
    assert_close(found.segments, torch.tensor([[5.6, 6.6]]))
    assert found.labels.tolist() == [0]
    assert found.scores.tolist() == pytest.approx([0.2])
    # Nothing above the threshold; and reversed: start 6 + 15, end 16 - 15.
    assert len(predict(0.9)) == 0 and len(predict(0.0)) == 2
    assert len(predict(0.0, offsets=(-3.0, -3.0))) == 0


def test_video_scores_turn_detections_into_classes():
    segments = torch.tensor([[0.0, 4.0], [2.0, 6.0]])
    scores = torch.tensor([[0.5], [0.2]])
    video_scores = dict(labels=[3, 9], scores=[0.8, 0.1])
    clip = clip_sample(offset=10, fps=2.0, video_scores=video_scores)
    found = select_detections(segments, scores, clip, dict(score_thr=0.1))
    assert found.labels.tolist() == [3, 3, 9, 9]
    assert found.segments.tolist() == [[5, 7], [6, 8]] * 2
    assert_close(found.scores, torch.tensor([0.4, 0.16, 0.05, 0.02]))
    with pytest.raises(ValueError, match='num_classes=2'):
        select_detections(segments, scores.repeat(1, 2), clip, dict(score_thr=0.1))


def test_data_samples_carry_detections_settings_and_raw_outputs():
    settings = complete_test_cfg(dict(nms=dict(sigma=0.3)))
    found, outputs = predict(0.0), raw()
    (clip,) = add_pred_to_datasample([clip_sample()], [found], settings, outputs, 64)
    assert clip.pred_instances is found and clip.test_cfg == settings
    assert clip.raw_outputs.keys() == {*outputs, 'num_frames'}
    assert clip.raw_outputs['num_frames'] == 64
    assert torch.equal(clip.raw_outputs['points'], outputs['points'])
    assert clip.raw_outputs['coarse_logits'].shape == (1, 3)
    (clip,) = add_pred_to_datasample([clip_sample()], [found], settings)
    assert 'raw_outputs' not in clip


def test_settings_that_are_left_out_or_unusable():
    assert complete_test_cfg(None) == dict(
        score_thr=0.01, nms=None, max_per_video=None, clamp=True, fusion='raw'
    )
    with pytest.raises(ValueError, match='score_threshold'):
        complete_test_cfg(dict(score_threshold=0.1))
    with pytest.raises(ValueError, match="fusion='max': choose 'raw' or 'geometric'"):
        complete_test_cfg(dict(fusion='max'))


@MODELS.register_module(force=True)
class SigmoidLossOfTheTests(nn.Module):
    """Says how it works under MMDetection's name for that."""

    use_sigmoid = True


@pytest.mark.parametrize('loss_cls, logits', [(SIGMOID, K), (None, K + 1)])
def test_the_loss_says_how_many_logits_there_are(loss_cls, logits):
    coarse, refine = coarse_head(loss_cls=loss_cls), refine_head(loss_cls=loss_cls)
    assert coarse.cls_conv.out_channels == refine.cls_conv.out_channels == logits
    found = coarse(features()).logits
    assert [x.shape for x in found] == [(1, n, logits) for n in LENGTHS]


def test_at_the_start_every_class_is_improbable():
    init_cfg = dict(type='Xavier', layer='Conv1d', bias=0.5)
    options = dict(loss_cls=SIGMOID, init_cfg=init_cfg)
    for head, name in (
        (coarse_head(**options), 'loc_conv'),
        (refine_head(**options), 'offset_conv'),
    ):
        head.init_weights()
        # Everything else is what the config says.
        assert (head.get_submodule(name).bias == 0.5).all()
        assert_close(head.cls_conv.bias.sigmoid(), torch.full((K,), 0.01))


def test_decoding_of_sigmoids_by_hand():
    def outputs(coarse):
        """Logits of two classes, the first one 0."""
        coarse, refined = ([[[0.0, x]]] for x in (coarse, -math.log(3.0)))
        changed = dict(coarse_logits=coarse, refine_logits=refined)
        changed['quality_logits'] = [[math.log(4.0)]]
        return raw() | {key: torch.tensor(value) for key, value in changed.items()}

    head = BoundaryRefineHead(2, 8, num_groups=2, loss_cls=SIGMOID)
    segments, scores = head.decode(outputs(math.log(3.0)), 16)
    assert segments.tolist() == [[[6.0, 16.0]]]
    assert_close(scores, 0.8 * torch.tensor([[[0.5, 0.5]]]))
    # Two streams: the logits are averaged, then decoded the same way.
    both = mean_raw_outputs([outputs(math.log(3.0)), outputs(-math.log(3.0))])
    assert_close(head.decode(both, 16)[1], 0.8 * torch.tensor([[[0.5, 0.375]]]))


def test_heads_and_streams_must_agree(repo_root):
    both = Config.fromfile(str(repo_root / CONFIG)).model
    both.flow.coarse_head.loss_cls = SIGMOID
    with pytest.raises(ValueError, match='use_sigmoid=True, refine_head has .*False: '):
        MODELS.build(both.flow)
    both.flow.refine_head.loss_cls = SIGMOID
    with pytest.raises(ValueError, match='flow has use_sigmoid=True'):
        MODELS.build(both)
