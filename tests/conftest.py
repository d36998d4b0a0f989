"""Settings for all tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
