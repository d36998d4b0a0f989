"""A model so small that a window takes a moment, with random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from tiny_models import SIZE, T, reduced

from mmtal_mts.apis import TALInferencer

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
PIPELINE = [
    dict(type='LoadClip'),
    dict(type='Resize', scale=(40, 36), keep_ratio=False),
    dict(type='CenterCrop', crop_size=SIZE),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Files ``config`` and ``weights`` of a whole model, and a folder ``data``."""
    folder = tmp_path_factory.mktemp('tiny model')
    data = folder / 'data'
    (data / 'videos').mkdir(parents=True)
    cfg = Config.fromfile(Path(__file__).resolve().parents[2] / CONFIG)
    cfg.model = reduced(cfg.model, num_levels=4, width=0.0625)
    cfg.model.test_cfg.score_thr, cfg.clip_len = 0.03, T
    # Segments of random weights overlap much, and enough are to be left to compare.
    cfg.model.test_cfg.nms.min_score = 1e-5
    windows = dict(clip_len=T, window_stride=12, pipeline=PIPELINE)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(data_root=f'{data}/', **windows)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = str(data / 'annotations.json')
    cfg.dump(folder / 'tiny.py')
    init_default_scope('mmaction')
    torch.manual_seed(3)
    model = MODELS.build(cfg.model)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            # The prior of the scores is a bias; what the pictures say is added.
            parameter.data *= 1.6
    weights = folder / 'tiny.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), weights)
    config = str(folder / 'tiny.py')
    return SimpleNamespace(config=config, weights=str(weights), data=data)


@pytest.fixture(scope='session')
def inferencer(tiny_model: SimpleNamespace) -> TALInferencer:
    return TALInferencer(tiny_model.config, tiny_model.weights, batch_size=2)
