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
LOSSES = (
    'loss_coarse_cls',
    'loss_coarse_loc',
    'loss_refine_cls',
    'loss_refine_loc',
    'loss_quality',
)


def test_our_operators_are_compiled():
    assert compiled_ops_problem() is None


def test_trains_and_tests_with_losses_of_mmdet(project):
    config = project.folder / 'with_mmdet.py'
    config.write_text(WITH_MMDET)
    work_dir = project.folder / 'with_mmdet'
    code, output = project.run(
        *project.tool('train.py', str(config), '--work-dir', str(work_dir)),
        *('--seed', '0', '--cfg-options', 'train_cfg.max_epochs=3'),
        'train_cfg.val_interval=3',
    )
    assert code == 0, output
    steps = [x for x in output.splitlines() if 'Epoch(train)' in x]
    values = {
        name: [float(v) for v in re.findall(rf'{name}: ([\d.]+)', '\n'.join(steps))]
        for name in LOSSES
    }
    # The first epoch is the warm-up of the backbone.
    assert 'loss_warmup_cls:' in steps[0]
    assert all(len(found) == len(steps) * 2 // 3 for found in values.values()), values
    assert all(x < 100 for found in values.values() for x in found), values
    # Classes start out improbable; learning the background is what comes first.
    assert values['loss_coarse_cls'][0] < 2 and values['loss_refine_cls'][0] < 2
    assert values['loss_coarse_cls'][-1] < values['loss_coarse_cls'][0]

    checkpoint = work_dir / 'epoch_3.pth'
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    for head in ('coarse_head', 'refine_head'):
        assert state[f'{head}.cls_conv.weight'].shape[0] == 6  # no background
    code, tested = project.run(*project.tool('test.py', str(config), str(checkpoint)))
    assert code == 0, tested
    pattern = r'mAP@0.50: ([\d.]+)'
    assert re.findall(pattern, tested)[-1] == re.findall(pattern, output)[-1]
