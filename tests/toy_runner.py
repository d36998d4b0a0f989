"""Runs for tests: a toy model for a moment, or a program in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn

ROOT = Path(__file__).resolve().parent.parent


def make_runner(
    work_dir: Path,
    model: nn.Module,
    samples: Sequence[dict] | None = None,
    optim_wrapper: dict | None = None,
    **settings: Any,
) -> Runner:
    """A runner of one sample (by default 1.0, three times) in each iteration."""
    optimizer = dict(type='SGD', lr=1e-3, momentum=0.9)
    known = len(list(work_dir.iterdir())) if work_dir.is_dir() else 0
    defaults = dict(
        train_cfg=dict(by_epoch=True, max_epochs=1),
        experiment_name=f'{work_dir.name}_{known}',
        default_scope='mmaction',
        log_level='ERROR',
    )
    loader = dict(
        dataset=samples or [dict(inputs=torch.ones(1)) for _ in range(3)],
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model,
        str(work_dir),
        train_dataloader=loader,
        optim_wrapper=dict(optimizer=optimizer, **optim_wrapper or {}),
        **defaults | settings,
    )


def free_port() -> str:
    """A port of this machine at which processes can meet."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def start_child(*command: str, cwd: Path | None = None, **env: str) -> subprocess.Popen:
    """Starts a program that finds this package, on the CPU, in an environment."""
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    settings = dict(PYTHONPATH=str(ROOT), PATH=path, PORT=free_port())
    settings |= dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='-1')
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | settings | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_child(*command: str, cwd: Path | None = None, **env: str) -> tuple[int, str]:
    """Runs such a program to its end: its exit code and what it printed."""
    child = start_child(*command, cwd=cwd, **env)
    try:
        output, _ = child.communicate(timeout=600)
    finally:
        child.kill()
    return child.returncode, output
