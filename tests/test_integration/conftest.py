"""A tiny data set of real video files, and the tools to run on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmtal_mts.datasets.synthetic import SyntheticSettings, generate_dataset

ROOT = Path(__file__).resolve().parents[2]
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
loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
train_dataloader = dict(loader, dataset=dict(windows, pipeline=train_pipeline))
val_dataloader = dict(loader, dataset=windows)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations.json')
test_evaluator = val_evaluator
levels = dict(out_channels=32, num_levels=5)
patches = dict(crop_size=crop, patch_size=16, embed_dims=8, num_heads=2)
model = dict(
    # Statistics of a batch would depend on who computes which part of it.
    backbone=dict(width=0.0625, freeze_bn=True),
    neck=dict(
        pyramid=dict(in_channels=(48, 64), spatial_sizes=(2, 1), **levels),
        stt=dict(clip_len=64, **levels, **patches),
        frame_feature=dict(channels=32),
    ),
    coarse_head=dict(channels=32, num_levels=5, distance_factors=(4, 8, 16, 32, 64)),
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

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / 'data'
        text = SHRUNK.format(base=str(ROOT / CONFIG), data=f'{self.data}/')
        (folder / 'config.py').write_text(text)
        path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        env = dict(PYTHONPATH=str(ROOT), PATH=path, CUDA_VISIBLE_DEVICES='-1')
        self.env = os.environ | env | dict(OMP_NUM_THREADS='1')

    def start(self, tool: str, *args: str, **env: str) -> subprocess.Popen:
        """Starts a tool, Python or shell, with additions to its environment."""
        program = 'bash' if tool.endswith('.sh') else sys.executable
        return subprocess.Popen(
            (program, str(ROOT / 'tools' / tool), *args),
            cwd=self.folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, tool: str, *args: str) -> str:
        """Runs a tool that must succeed: its output."""
        process = self.start(tool, *args)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
        return output


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp('project'))
    settings = SyntheticSettings(
        num_train=4, num_test=3, duration=(9.0, 12.0), size=48, fps=(20,)
    )
    generate_dataset(project.data, settings, workers=1)
    return project
