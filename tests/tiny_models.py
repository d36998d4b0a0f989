"""Networks of the public configs at a size for tests, and what they read."""

from __future__ import annotations

import copy
from collections.abc import Sequence

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


def is_of_features(model: dict) -> bool:
    """Whether a model reads rows of features, not frames."""
    return model.backbone.type == 'FeatureEmbedding'


def reduce_backbone(model: dict, width: float) -> None:
    """Makes the backbone narrow, and the pyramid fit."""
    backbone = model.backbone
    if backbone.type == 'BackboneAdapter':
        backbone.update(clip_len=T, crop_size=SIZE)
        backbone.backbone.update(SMALL_BACKBONES[backbone.backbone.type])
    elif is_of_features(model):
        backbone.update(out_channels=CHANNELS, num_groups=4)
    else:
        backbone.update(width=width, pretrained=None)
        indices = backbone.out_indices
        channels = InceptionI3D(width=width, out_indices=indices).out_channels
        model.neck.pyramid.update(
            in_channels=channels, spatial_sizes=(2, 1)[-len(indices) :]
        )
        if model.get('warmup_head'):
            model.warmup_head.in_channels = channels[0]


def reduced(model: dict, num_levels: int = 3, width: float = 0.03125) -> dict:
    """The model of a config, narrow, over 32 frames of 32x32 pixels, or 32 rows."""
    model = copy.deepcopy(model)
    reduce_backbone(model, width)
    small = dict(crop_size=SIZE, patch_size=16, embed_dims=16, out_channels=CHANNELS)
    if is_of_features(model):
        small.update(crop_size=1, patch_size=1)
    levels = dict(num_levels=num_levels, num_groups=4)
    channels = dict(channels=CHANNELS, num_groups=4)
    model.neck.pyramid.update(out_channels=CHANNELS, **levels)
    model.neck.frame_feature.update(channels)
    if model.neck.stt is not None:
        model.neck.stt.update(clip_len=T, **levels, **small)
    head = model.coarse_head
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
    sample = ActionDataSample(
        metainfo=dict(video_id='v', window_offset=offset, sample_fps=fps, **metainfo)
    )
    sample.gt_instances = instances(segments, labels)
    return sample
