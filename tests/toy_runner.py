"""A Runner that trains a toy model for a moment, for the tests of hooks and tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn


def make_runner(
    work_dir: Path,
    model: nn.Module,
    samples: Sequence[dict] | None = None,
    *,
    optim_wrapper: dict | None = None,
    **settings: Any,
) -> Runner:
    """A runner of one sample (by default 1.0, three times) in each iteration."""
    known = len(list(work_dir.iterdir())) if work_dir.is_dir() else 0
    settings.setdefault('train_cfg', dict(by_epoch=True, max_epochs=1))
    settings.setdefault('experiment_name', f'{work_dir.name}_{known}')
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=samples or [dict(inputs=torch.ones(1)) for _ in range(3)],
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=1e-3, momentum=0.9), **optim_wrapper or {}
        ),
        default_scope='mmaction',
        log_level='ERROR',
        **settings,
    )
