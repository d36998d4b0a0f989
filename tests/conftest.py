"""Settings for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mmtal_mts  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent

# Tests are small; more threads only get into each other's way.
torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def _fixed_seed() -> None:
    """Makes tests that draw random tensors repeatable."""
    torch.manual_seed(0)


@pytest.fixture
def repo_root() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture(scope='session')
def afsd_thumos14() -> dict[str, dict[str, tuple[int, np.ndarray]]]:
    """AFSD's THUMOS14 annotations, as its loader sees them.

    Split ('val', 'test') -> video, in the order of its first annotation -> number of
    sampled frames, and rows (G, 3) of start and end in sampled frames and label from 1.
    """
    splits = {}
    with np.load(ROOT / 'tests/data/goldens/thumos14_afsd.npz') as data:
        for split, long_name in (('val', 'validation'), ('test', 'test')):
            numbers, frames = data[f'{split}_videos'], data[f'{split}_frames']
            rows = data[f'{split}_rows'].astype(float)
            splits[split] = {}
            for index in dict.fromkeys(rows[:, 0].astype(int).tolist()):
                table = rows[rows[:, 0] == index, 1:]
                count, sample_count = (float(value) for value in frames[index])
                table[:, :2] *= sample_count / count
                name = f'video_{long_name}_{numbers[index]:07d}'
                splits[split][name] = (int(sample_count), table)
    return splits


@pytest.fixture
def child_env() -> dict[str, str]:
    """Environment for child processes: this package, few threads."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
    bin_dir = str(Path(sys.executable).parent)
    return {
        **os.environ,
        'PYTHONPATH': path,
        'PATH': bin_dir + os.pathsep + os.environ.get('PATH', ''),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '-1',
    }
