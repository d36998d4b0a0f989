"""Weights and inputs behind the recorded numbers, and how gradients are summarised.

Every tensor is a pure function of a name, a shape or a seed, so that only results
have to be stored.
"""

from __future__ import annotations

import functools
import zlib
from pathlib import Path

import numpy as np
import torch
from afsd_to_mmtal import convert_afsd_state_dict
from mmaction.registry import MODELS
from mmengine.config import Config
from tiny_models import clip_sample, golden

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = {
    'thumos14_in3': 'afsd_i3d_1xb1-256x96x96-16e_thumos14-rgb.py',
    'thumos14_in2': 'afsd_i3d_1xb1-256x96x96-16e_thumos14-flow.py',
    'anet_in3': 'afsd_i3d_1xb1-768x96x96-16e_activitynet-rgb.py',
    'anet_in2': 'afsd_i3d_1xb1-768x96x96-16e_activitynet-flow.py',
}
# AFSD's name of a loss, ours, and the weight that is part of ours on THUMOS14.
DETECTION_LOSSES = {
    'loss_l': ('loss_coarse_loc', 10),
    'loss_c': ('loss_coarse_cls', 1),
    'loss_prop_l': ('loss_refine_loc', 10),
    'loss_prop_c': ('loss_refine_cls', 1),
    'loss_ct': ('loss_quality', 1),
}
# AFSD's name of an output, ours in mode='tensor'.
OUTPUTS = {
    'loc': 'coarse_distances',
    'conf': 'coarse_logits',
    'prop_loc': 'refine_offsets',
    'prop_conf': 'refine_logits',
    'center': 'quality_logits',
}
LOC_HEAD = 'coarse_pyramid_detection.loc_head.conv1d.'


@functools.cache
def afsd_weight(name, shape):
    """The weight of AFSD's state-dict entry ``name``: noise seeded by the name.

    Kept for the other variant, which has most tensors in common.
    """
    if name.endswith('num_batches_tracked'):
        return np.zeros(shape, np.int64)
    seed = zlib.crc32(name.encode())
    noise = np.random.RandomState(seed).standard_normal(shape)
    if name.endswith('running_mean'):
        value = 0.1 * noise
    elif name.endswith('running_var'):
        value = 1 + 0.1 * np.abs(noise)
    elif len(shape) >= 3:  # a convolution
        value = noise * np.sqrt(2.0 / np.prod(shape[1:]))
        if name == LOC_HEAD + 'weight':
            value = value * 0.6
    elif name == LOC_HEAD + 'bias':
        value = 2.5 + 0.5 * noise
    elif name.endswith('.bias'):
        value = 0.1 * noise
    else:  # weight of a normalisation, scale of a level
        value = 1 + 0.1 * noise
    return value.astype(np.float32)


@functools.lru_cache(maxsize=2)
def afsd_state_dict(variant):
    """A whole AFSD checkpoint with the reference weights."""
    shapes = golden('g_keys.json')[variant]['state_dict']
    return {k: torch.tensor(afsd_weight(k, tuple(s))) for k, s in shapes.items()}


def reference_clip(channels=3, frames=256, size=96, seed=2020):
    """uint8 (1, C, T, H, W): a coarse grid of colours, constant for 16 frames, and
    noise."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, 256, (channels, frames // 16, 6, 6))
    coarse = coarse.repeat(16, 1).repeat(size // 6, 2).repeat(size // 6, 3)
    noise = random.randint(-20, 21, (channels, frames, size, size))
    return np.clip(coarse + noise, 0, 255).astype(np.uint8)[None]


def as_input(clip):
    """The same arithmetic as AFSD's, so that not even the last bit differs."""
    return torch.from_numpy(clip.astype(np.float32) / 255 * 2 - 1)


def reference_features(variant, batch):
    """Backbone maps for the head alone: noise after a ReLU."""
    random = np.random.RandomState(7)
    shapes = [(832, 64, 6, 6), (1024, 32, 3, 3)]
    shapes = [(1024, 96, 3, 3)] if variant == 'anet' else shapes
    noise = (random.standard_normal((batch, *shape)) for shape in shapes)
    return [torch.from_numpy(np.maximum(x, 0).astype(np.float32)) for x in noise]


def config(variant):
    return Config.fromfile(str(ROOT / 'configs' / 'afsd' / CONFIGS[variant]))


def build_config_model(variant, **backbone):
    """The model of the public config, without Kinetics weights."""
    cfg = config(variant).model
    cfg.backbone.pretrained = None
    cfg.backbone.update(backbone)
    return MODELS.build(cfg)


def build_converted_model(variant):
    """The model of the public config with converted reference weights."""
    model = build_config_model(variant)
    converted = convert_afsd_state_dict(afsd_state_dict(variant))
    model.load_state_dict(converted, strict=True)
    return model


def as_ours(name, array):
    """An output of AFSD, or its gradient: of logits, the background comes last."""
    return np.roll(array, -1, axis=-1) if 'conf' in name else array


def clip_samples(targets):
    """Data samples from rows (start, end, AFSD's class from 1) in sampled frames."""
    tables = (np.float32(rows).reshape(-1, 3) for rows in targets)
    return [clip_sample(rows[:, :2], rows[:, 2] - 1) for rows in tables]


def summarise(name, gradient):
    """L2 norm, L1 norm and projection on noise seeded by the name, in float64."""
    values = gradient.detach().double().flatten().numpy()
    seed = zlib.crc32(f'grad:{name}'.encode())
    noise = np.random.RandomState(seed).standard_normal(values.size)
    return np.linalg.norm(values), np.abs(values).sum(), values @ noise
