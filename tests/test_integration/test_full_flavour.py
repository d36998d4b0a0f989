"""The complete model with the losses of MMDetection, through the tools."""

from __future__ import annotations

import re

import pytest
import torch

from mmtal_mts.ops import compiled_ops_problem

pytestmark = pytest.mark.full

WITH_MMDET = """
_base_ = './config.py'
focal = dict(_delete_=True, type='mmdet.FocalLoss', loss_weight=1.0)
model = dict(
    coarse_head=dict(
        loss_cls=focal,
        loss_loc=dict(_delete_=True, type='mmdet.GIoULoss', loss_weight=1.0),
    ),
    refine_head=dict(
        loss_cls=focal,
        loss_loc=dict(_delete_=True, type='mmdet.SmoothL1Loss', loss_weight=1.0),
        loss_quality=dict(
            _delete_=True, type='mmdet.CrossEntropyLoss', use_sigmoid=True
        ),
    ),
    warmup_head=dict(loss_cls=dict(type='mmdet.CrossEntropyLoss')),
)
"""
LOSSES = 'coarse_cls', 'coarse_loc', 'refine_cls', 'refine_loc', 'quality'


def test_our_operators_are_compiled():
    assert compiled_ops_problem() is None


def test_trains_and_tests_with_losses_of_mmdet(project):
    (project.folder / 'with_mmdet.py').write_text(WITH_MMDET)
    output = project.run(
        *('train.py', 'with_mmdet.py', '--work-dir', 'with_mmdet', '--seed', '0'),
        *('--cfg-options', 'train_cfg.max_epochs=3', 'train_cfg.val_interval=3'),
    )
    steps = [x for x in output.splitlines() if 'Epoch(train)' in x]
    # The first epoch is the warm-up of the backbone.
    assert 'loss_warmup_cls:' in steps[0]
    values = {
        name: [float(v) for v in re.findall(rf'loss_{name}: ([\d.]+)', output)]
        for name in LOSSES
    }
    assert all(len(found) == len(steps) * 2 // 3 for found in values.values()), values
    assert all(x < 100 for found in values.values() for x in found), values
    # Classes start out improbable; learning the background is what comes first.
    assert values['coarse_cls'][0] < 2 and values['refine_cls'][0] < 2
    assert values['coarse_cls'][-1] < values['coarse_cls'][0]

    checkpoint = project.folder / 'with_mmdet/epoch_3.pth'
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    for head in ('coarse_head', 'refine_head'):
        assert state[f'{head}.cls_conv.weight'].shape[0] == 6  # no background
    tested = project.run('test.py', 'with_mmdet.py', str(checkpoint))
    pattern = r'mAP@0.50: ([\d.]+)'
    assert re.findall(pattern, tested)[-1] == re.findall(pattern, output)[-1]
