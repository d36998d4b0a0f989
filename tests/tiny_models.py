"""Networks of the public configs at a size for tests, what they read, and goldens."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmengine.structures import InstanceData

from mmtal_mts.models import InceptionI3D

T, SIZE, CHANNELS = 32, 32, 16
# What makes the backbones of MMAction2 small.
SMALL_BACKBONES = {
    'ResNet3dSlowOnly': dict(depth=18, base_channels=4),
    'SwinTransformer3D': dict(
        arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2])
    ),
    'VisionTransformer': dict(
        img_size=SIZE, patch_size=16, embed_dims=16, depth=5, num_heads=2
    ),
}


def golden(name: str) -> dict:
    """Recorded numbers: arrays of an ``.npz`` file, or what a ``.json`` file holds."""
    path = Path(__file__).parent / 'data' / 'goldens' / name
    if path.suffix == '.json':
        return json.loads(path.read_text())
    with np.load(path) as data:
        return dict(data)


def is_of_features(model: dict) -> bool:
    """Whether a model reads rows of features, not frames."""
    return model.backbone.type == 'FeatureEmbedding'


def reduced(model: dict, num_levels: int = 3, width: float = 0.03125) -> dict:
    """The model of a config, narrow, over 32 frames of 32x32 pixels, or 32 rows."""
    model = copy.deepcopy(model)
    small = dict(crop_size=SIZE, patch_size=16, embed_dims=16, out_channels=CHANNELS)
    levels = dict(num_levels=num_levels, num_groups=4)
    channels = dict(channels=CHANNELS, num_groups=4)
    backbone, neck, head = model.backbone, model.neck, model.coarse_head
    if backbone.type == 'BackboneAdapter':
        backbone.update(clip_len=T, crop_size=SIZE)
        backbone.backbone.update(SMALL_BACKBONES[backbone.backbone.type])
    elif is_of_features(model):
        backbone.update(out_channels=CHANNELS, num_groups=4)
        small.update(crop_size=1, patch_size=1)
    else:
        backbone.update(width=width, pretrained=None)
        indices = backbone.out_indices
        widths = InceptionI3D(width=width, out_indices=indices).out_channels
        sizes = (2, 1)[-len(indices) :]
        neck.pyramid.update(in_channels=widths, spatial_sizes=sizes)
        if model.get('warmup_head'):
            model.warmup_head.in_channels = widths[0]
    neck.pyramid.update(out_channels=CHANNELS, **levels)
    neck.frame_feature.update(channels)
    if neck.stt is not None:
        neck.stt.update(clip_len=T, **levels, **small)
    head.update(levels | channels)
    if head.get('distance_factors'):
        head.distance_factors = head.distance_factors[:num_levels]
    if head.get('assigner') and head.assigner.get('level_ranges'):
        head.assigner.level_ranges = head.assigner.level_ranges[:num_levels]
    model.refine_head.update(channels)
    if model.refine_head.fsa is not None:
        model.refine_head.fsa.update(**small)
    return model


def instances(segments: Sequence, labels: Sequence[int]) -> InstanceData:
    """Ground truth of one clip in sampled frames."""
    return InstanceData(
        segments=torch.tensor(segments, dtype=torch.float32).reshape(-1, 2),
        labels=torch.tensor(labels, dtype=torch.long),
    )


def clip_sample(
    segments: Sequence = ((4.0, 20.0),),
    labels: Sequence[int] = (1,),
    offset: int = 0,
    fps: float = 10.0,
    **metainfo,
) -> ActionDataSample:
    """Data sample of one window, with ground truth."""
    facts = dict(video_id='v', window_offset=offset, sample_fps=fps) | metainfo
    sample = ActionDataSample(metainfo=facts)
    sample.gt_instances = instances(segments, labels)
    return sample
