"""AFSD's training: settings, and loss terms and gradients against its numbers."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.optim import build_optim_wrapper
from tiny_models import golden, reduced
from torch import nn
from torch.autograd import grad
from torch.testing import assert_close

from mmtal_mts.models.dense_heads import CoarseOutputs, RefineOutputs

from .reference import (
    DETECTION_LOSSES,
    OUTPUTS,
    as_ours,
    build_config_model,
    clip_samples,
    config,
)

# First and second part of a cut action, and the background in between.
PARTS = torch.tensor([[[4.0, 12.0], [16.0, 24.0], [13.0, 15.0]]])


def tiny_model(**refine_head):
    """The public config at a width and clip length for tests."""
    model = reduced(config('thumos14_in3').model)
    model.refine_head.update(refine_head)
    model = MODELS.build(model)
    model.init_weights()
    return model.train()


def samples(batch, augmented=()):
    rows = [[[4.0, 20.0, 3]], [[1.5, 9.0, 7], [12.0, 30.0, 1]]]
    found = clip_samples(rows[:batch])
    for i in augmented:
        order = np.roll(np.arange(32), i + 1)
        facts = dict(frame_order=order, segments=PARTS[0].numpy())
        found[i].set_metainfo(dict(consistency=facts))
    return found


def clips(batch):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(batch, 3, 32, 32, 32, generator=generator) * 2 - 1


def boundary_of(model, frames):
    features = model.extract_feat(frames)
    return model.refine_head(features, model.coarse_head(features)).boundary


def convolutions(*parts):
    modules = [module for part in parts for module in part.modules()]
    return [m for m in modules if isinstance(m, (nn.Conv1d, nn.Conv3d))]


def test_head_is_glorot_uniform_with_zero_biases():
    model = tiny_model()
    for conv in convolutions(model.neck, model.coarse_head, model.refine_head):
        fans = (conv.in_channels + conv.out_channels) * math.prod(conv.kernel_size)
        limit = math.sqrt(6 / fans)
        assert conv.weight.abs().max() <= limit and not conv.bias.any()
        if conv.weight.numel() > 500:  # enough to see that it is uniform
            std = conv.weight.std().item()
            assert std == pytest.approx(limit / math.sqrt(3), rel=0.1)
    norms = [m for m in model.modules() if isinstance(m, nn.GroupNorm)]
    assert all((m.weight == 1).all() and not m.bias.any() for m in norms)
    assert all(scale.scale == 1 for scale in model.coarse_head.scales)


def test_head_of_activitynet_is_normal_its_neck_glorot():
    model = build_config_model('anet_in3', width=0.03125)
    # Only the head matters here; the narrow backbone does not fit the neck.
    for part in (model.neck, model.coarse_head, model.refine_head):
        part.init_weights()
    for conv in convolutions(model.coarse_head, model.refine_head):
        assert conv.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert not conv.bias.any()
    largest = model.neck.pyramid.downsamples[0].conv.weight.abs().max()
    assert 0.9 < largest / math.sqrt(6 / (1024 * 3)) <= 1


def test_frozen_batch_norms_do_not_move_and_convolutions_do():
    model = tiny_model()
    before = copy.deepcopy(model.backbone.state_dict())
    adam = dict(type='Adam', lr=1e-2, weight_decay=0.5)  # a decay that would be seen
    wrapper = build_optim_wrapper(model, dict(optimizer=adam))
    wrapper.update_params(sum(model(clips(1), samples(1), mode='loss').values()))
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[key]) == ('.bn.' in key), key
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm3d)]
    assert len(norms) == 57 and not any(m.training for m in norms)


def test_learning_rates_and_decay_of_the_configs():
    model = build_config_model('anet_in3', width=0.03125)
    wrapper = build_optim_wrapper(model, config('anet_in3').optim_wrapper)
    own = {id(parameter) for parameter in model.backbone.parameters()}
    found = {
        (id(parameter) in own, round(group['lr'], 12), group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    assert found == {(True, 1e-5, 1e-4), (False, 1e-4, 1e-4)}
    for variant in ('thumos14_in3', 'thumos14_in2'):
        cfg = config(variant)
        wanted = dict(type='Adam', lr=1e-5, weight_decay=1e-3)
        assert cfg.optim_wrapper.optimizer == wanted
        assert cfg.train_cfg.max_epochs == 16 and cfg.train_dataloader.batch_size == 1


def test_optional_losses_are_part_of_the_loss():
    model = tiny_model()
    losses = model(clips(2), samples(2, augmented=(1,)), mode='loss')
    optional = {'loss_start', 'loss_end', 'loss_consistency'}
    assert optional < set(losses) and all(losses[name] > 0 for name in optional)
    plain = tiny_model(loss_boundary=None, loss_consistency=None)
    assert optional.isdisjoint(plain(clips(2), samples(2), mode='loss'))


def test_consistency_is_the_mean_over_augmented_clips_in_the_new_order():
    model = tiny_model()
    frames, given = clips(2), samples(2, augmented=(0, 1))
    alone = []
    for clip, sample in zip(frames, given, strict=True):
        order = torch.from_numpy(sample.consistency['frame_order'])
        boundary = boundary_of(model, clip[None, :, order])
        alone.append(model.refine_head.consistency_loss(boundary, PARTS))
    assert_close(model._consistency_loss(frames, given), torch.stack(alone).mean())
    for i, expected in enumerate(alone):
        one = samples(2, augmented=(i,))
        assert_close(model._consistency_loss(frames, one), expected)
    assert model._consistency_loss(frames, samples(2)) == 0


def test_relaxed_threshold_keeps_the_best_positive_of_every_clip():
    head = tiny_model(relax_refine_thr=True, refine_iou_thr=0.5).refine_head
    wanted = torch.tensor([[[4.0, 4.0]] * 3] * 3)
    # tIoU 1/4, 1/8, 1/2 | 1/4, 1/4, 1 (no positive) | 1, 1/2, 1/4
    lengths = torch.tensor([[1.0, 0.5, 2.0], [1.0, 1.0, 4.0], [4.0, 2.0, 1.0]])
    positive = torch.tensor([[True, True, False], [False] * 3, [True] * 3])
    refined = head._refined(lengths[..., None].expand(3, 3, 2), wanted, positive)
    assert refined.tolist() == [[True, False, False], [False] * 3, [True, True, False]]
    with pytest.raises(ValueError, match="normalize_by='video'"):
        tiny_model(normalize_by='video')


FILES = {
    'thumos14_in3': golden('b_multisegment_loss.npz'),
    'anet_in3': golden('b_multisegment_loss_anet.npz'),
}
CASES = [(key, str(name)) for key, data in FILES.items() for name in data['names']]


@pytest.fixture(scope='module')
def models():
    return {variant: build_config_model(variant, width=0.03125) for variant in FILES}


def in_original_arithmetic(distances, positive, priors, targets, num_frames):
    """The same distances, computed as AFSD does: in float32 fractions of the clip.

    For 768 frames this rounds by up to 5e-5 of a frame, which is more than the
    tolerance for actions of one frame.
    """
    rounded = distances.clone()
    for i, rows in enumerate(targets):
        rows = torch.from_numpy(rows)  # float32 (start / T, end / T, class)
        left = (priors[:, None] - rows[None, :, 0]) * num_frames
        right = (rows[None, :, 1] - priors[:, None]) * num_frames
        candidates = torch.stack([left, right], -1)  # (P, G, 2)
        error = (candidates - distances[i][:, None]).abs().sum(-1)
        nearest, index = error.min(1)
        assert (nearest[positive[i]] < 1e-4).all()
        chosen = candidates[torch.arange(len(index)), index]
        rounded[i][positive[i]] = chosen[positive[i]]
    return rounded


@pytest.mark.parametrize('variant, case', CASES)
def test_values_and_gradients(models, variant, case):
    model, data = models[variant], FILES[variant]
    num_frames = int(data['clip_length'])
    lengths = [(64 if num_frames == 256 else 96) >> i for i in range(6)]
    inputs = {
        name: torch.tensor(as_ours(name, data[f'{case}/{name}']), requires_grad=True)
        for name in OUTPUTS
    }
    names = map(f'{case}/target{{}}'.format, itertools.count())
    targets = [data[name] for name in itertools.takewhile(data.__contains__, names)]

    coarse = CoarseOutputs(
        (), (), inputs['loc'].split(lengths, 1), inputs['conf'].split(lengths, 1)
    )
    refined = RefineOutputs(
        inputs['prop_loc'], inputs['prop_conf'], inputs['center'].squeeze(-1)
    )
    model.refine_head.refine_iou_thr = float(data[f'{case}/piou'])
    points = model.coarse_head.point_generator.level_points(lengths, num_frames)
    in_frames = [rows * np.float64([num_frames, num_frames, 1]) for rows in targets]
    gt_instances = [sample.gt_instances for sample in clip_samples(in_frames)]
    assigned = model.coarse_head.get_targets(points, gt_instances)
    positive = assigned.labels < model.coarse_head.num_classes
    priors = torch.from_numpy(data['priors'][:, 0])
    distances = assigned.distances
    exact = in_original_arithmetic(distances, positive, priors, targets, num_frames)
    if num_frames == 256:  # every step is exact
        assert torch.equal(exact, distances)
    assigned = assigned._replace(distances=exact)
    losses = model.coarse_head.loss_by_feat(coarse, assigned)
    losses |= model.refine_head.loss_by_feat(refined, coarse, assigned, gt_instances)

    tensors = list(inputs.values())
    for theirs, (ours, weight) in DETECTION_LOSSES.items():
        value = losses[ours] / (weight if num_frames == 256 else 1)
        expected = float(data[f'{case}/loss/{theirs}'])
        assert value.item() == pytest.approx(expected, rel=1e-5), theirs
        found = grad(value, tensors, retain_graph=True, materialize_grads=True)
        for name, gradient in zip(inputs, found, strict=True):
            # Not recorded: all zero.
            wanted = data.get(f'{case}/grad/{theirs}/{name}', np.zeros(gradient.shape))
            scale = max(np.abs(wanted).max(), 1e-30)
            found, wanted = gradient.numpy() / scale, as_ours(name, wanted) / scale
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, err_msg=name)
