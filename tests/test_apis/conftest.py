"""A model so small that a window takes a moment, with random weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
SHRUNK = """
_base_ = {base!r}
data_root = {data!r}
crop = 32
clip_len = 32
pipeline = [
    dict(type='LoadClip'),
    dict(type='Resize', scale=(40, 36), keep_ratio=False),
    dict(type='CenterCrop', crop_size=crop),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
windows = dict(
    data_root=data_root, clip_len=clip_len, window_stride=12, pipeline=pipeline
)
train_dataloader = dict(dataset=windows)
val_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=windows
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations.json')
test_evaluator = val_evaluator
patches = dict(crop_size=crop, patch_size=16, embed_dims=8, num_heads=2)
model = dict(
    backbone=dict(width=0.0625),
    neck=dict(
        pyramid=dict(
            in_channels=(48, 64), spatial_sizes=(2, 1), out_channels=32, num_levels=4
        ),
        stt=dict(clip_len=clip_len, out_channels=32, num_levels=4, **patches),
        frame_feature=dict(channels=32),
    ),
    coarse_head=dict(channels=32, num_levels=4, distance_factors=(4, 8, 16, 32)),
    refine_head=dict(channels=32, fsa=dict(out_channels=32, **patches)),
    test_cfg=dict(score_thr=0.03),
)
"""


@dataclass(frozen=True)
class TinyModel:
    """Config file, checkpoint file and folder for the data of the config."""

    config: str
    weights: str
    data: Path


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A whole model; its scores differ from place to place."""
    root = Path(__file__).resolve().parents[2]
    folder = tmp_path_factory.mktemp('tiny model')
    data = folder / 'data'
    (data / 'videos').mkdir(parents=True)
    config = folder / 'tiny.py'
    config.write_text(SHRUNK.format(base=str(root / CONFIG), data=f'{data}/'))
    cfg = Config.fromfile(config)
    init_default_scope('mmaction')
    torch.manual_seed(3)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            # The prior of the scores is a bias; what the pictures say is added.
            parameter.data *= 1.6
    weights = folder / 'tiny.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), weights)
    return TinyModel(str(config), str(weights), data)
