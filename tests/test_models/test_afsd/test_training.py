"""AFSD's training settings: initialisation, frozen batch norms, optimiser, losses."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from tiny_models import reduced
from torch import nn
from torch.testing import assert_close

from .reference import CONFIGS, ROOT, build_config_model, clip_samples

# First and second part of a cut action, and the background in between.
PARTS = torch.tensor([[[4.0, 12.0], [16.0, 24.0], [13.0, 15.0]]])


def config(variant):
    return Config.fromfile(str(ROOT / 'configs' / 'afsd' / CONFIGS[variant]))


def tiny_model(variant='thumos14_in3', **refine_head):
    """The public config at a width and clip length for tests."""
    model = reduced(config(variant).model)
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
