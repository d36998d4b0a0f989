"""A tiny data set of real video files, and the tools to run on it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from toy_runner import ROOT, run_child

from mmtal_mts.datasets.synthetic import SyntheticSettings, generate_dataset

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
SIZE, T = 32, 64
LEVELS = dict(out_channels=32, num_levels=5)
PATCHES = dict(crop_size=SIZE, patch_size=16, embed_dims=8, num_heads=2)
NECK = dict(
    pyramid=dict(in_channels=(48, 64), spatial_sizes=(2, 1), **LEVELS),
    stt=dict(clip_len=T, **LEVELS, **PATCHES),
    frame_feature=dict(channels=32),
)
COARSE = dict(channels=32, num_levels=5, distance_factors=(4, 8, 16, 32, 64))
CHANGES = {
    # Statistics of a batch would depend on who computes which part of it.
    'model.backbone': dict(width=0.0625, freeze_bn=True),
    'model.neck': NECK,
    'model.coarse_head': COARSE,
    'model.refine_head': dict(channels=32, fsa=dict(out_channels=32, **PATCHES)),
    'model.warmup_head.in_channels': 48,
    'custom_hooks.0.num_epochs': 1,
    'train_cfg': dict(max_epochs=2, val_interval=2),
    'default_hooks.logger.interval': 1,
    # Small steps: rounding grows a hundredfold with each step of the full rate, and
    # losses of two runs could be compared for a few iterations only.
    'optim_wrapper.optimizer.lr': 1e-4,
    # Nor does Adam blow up what is nothing but rounding.
    'optim_wrapper.optimizer.eps': 1e-3,
}


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """Folder with data and a config, and what runs a tool there that must succeed.

    The config is that of the quick start, shrunk until a step takes a moment.
    """
    folder = tmp_path_factory.mktemp('project')
    settings = SyntheticSettings(
        num_train=4, num_test=3, duration=(9.0, 12.0), size=48, fps=(20,)
    )
    generate_dataset(folder / 'data', settings, workers=1)
    cfg = Config.fromfile(ROOT / CONFIG)
    del cfg.train_dataloader.dataset.pipeline[2]  # FlipClip
    cfg.merge_from_dict(CHANGES)
    data = dict(data_root=f'{folder}/data/', clip_len=T, window_stride=32, keep_ioa=0.5)
    for split, crop in dict(train='size', val='crop_size', test='crop_size').items():
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.dataset.update(data)
        loader.dataset.pipeline[0].scale = (40, 40)
        loader.dataset.pipeline[1][crop] = SIZE
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = f'{folder}/data/annotations.json'
    cfg.dump(folder / 'config.py')

    def run(tool: str, *args: str) -> str:
        program = 'bash' if tool.endswith('.sh') else sys.executable
        code, output = run_child(program, f'{ROOT}/tools/{tool}', *args, cwd=folder)
        assert code == 0, output
        return output

    return SimpleNamespace(folder=folder, run=run)
