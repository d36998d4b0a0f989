"""A tiny data set of real video files, and the tools to run on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmtal_mts.datasets.synthetic import SyntheticSettings, generate_dataset

CONFIG = 'configs/tal_mts/tal-mts_i3d-tiny_1xb4-128x48x48_synthetic.py'
# The model of the quick start, shrunk until a step takes a fraction of a second.
SHRUNK = """
_base_ = {base!r}
data_root = {data!r}
crop = 32
pipeline = [
    dict(type='LoadClip'),
    dict(type='Resize', scale=(crop, crop), keep_ratio=False),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackTALInputs'),
]
train_pipeline = [
    dict(type='LoadClip'),
    dict(type='Resize', scale=(40, 40), keep_ratio=False),
    dict(type='RandomCrop', size=crop),
    *pipeline[2:],
]
windows = dict(
    data_root=data_root, clip_len=64, window_stride=32, keep_ioa=0.5, pipeline=pipeline
)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(windows, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, dataset=windows
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations.json')
test_evaluator = val_evaluator
patches = dict(crop_size=crop, patch_size=16, embed_dims=8, num_heads=2)
model = dict(
    # Statistics of a batch would depend on who computes which part of it.
    backbone=dict(width=0.0625, freeze_bn=True),
    neck=dict(
        pyramid=dict(
            in_channels=(48, 64), spatial_sizes=(2, 1), out_channels=32, num_levels=5
        ),
        stt=dict(clip_len=64, out_channels=32, num_levels=5, **patches),
        frame_feature=dict(channels=32),
    ),
    coarse_head=dict(
        channels=32, num_levels=5, distance_factors=(4, 8, 16, 32, 64)
    ),
    refine_head=dict(channels=32, fsa=dict(out_channels=32, **patches)),
    warmup_head=dict(in_channels=48),
)
custom_hooks = [dict(type='BackboneWarmupHook', num_epochs=1)]
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
# Small steps: rounding grows a hundredfold with each step of the full rate, and losses
# of two runs could be compared for a few iterations only.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
"""


class Project:
    """A folder with data and a config, and the tools to run on it."""

    def __init__(self, root: Path, folder: Path, env: dict[str, str]) -> None:
        self.tools = root / 'tools'
        self.folder = folder
        self.env = env
        self.data = folder / 'data'
        self.config = folder / 'config.py'
        self.config.write_text(
            SHRUNK.format(base=str(root / CONFIG), data=f'{self.data}/')
        )

    def start(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        process = self.start(*command)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def tool(self, name: str, *args: str) -> tuple[str, ...]:
        return (sys.executable, str(self.tools / name), *args)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    root = Path(__file__).resolve().parents[2]
    env = {
        **os.environ,
        'PYTHONPATH': str(root),
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '-1',
    }
    project = Project(root, tmp_path_factory.mktemp('project'), env)
    settings = SyntheticSettings(
        num_train=4, num_test=3, duration=(9.0, 12.0), size=48, fps=(20,)
    )
    generate_dataset(project.data, settings, workers=1, progress=False)
    return project
