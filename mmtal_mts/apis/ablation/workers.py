"""How many runs fit beside each other."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from mmtal_mts.utils import UserError


@dataclass(frozen=True)
class Workers:
    """How the cores are shared.

    Attributes:
        jobs (int): Runs at a time.
        threads (int): Of each.
    """

    jobs: int
    threads: int


def default_workers(
    num_runs: int, jobs: int | None = None, threads: int | None = None
) -> Workers:
    """Chooses what the caller leaves open.

    Several runs of one thread get more done than one run of several threads. With a
    GPU, which all runs would share, one run is the default.

    Args:
        num_runs (int): Of the whole plan. Not of those that are left: the number of
            threads changes results in the last digits.
        jobs (int, optional): Runs at a time.
        threads (int, optional): Of each; by default ``OMP_NUM_THREADS``.

    Returns:
        Workers: Both.

    Raises:
        UserError: If one is below 1.
    """
    cores = _usable_cores()
    if threads is None and os.environ.get('OMP_NUM_THREADS', '').isdigit():
        threads = int(os.environ['OMP_NUM_THREADS'])
    if jobs is None and torch.cuda.is_available():
        jobs = 1
    if jobs is None:
        jobs = min(max(cores // max(threads or 1, 1), 1), num_runs)
    if threads is None:
        threads = max(cores // max(jobs, 1), 1)
    for name, value in (('--jobs', jobs), ('--threads', threads)):
        if value < 1:
            raise UserError(f'{name} {value}: use at least 1')
    return Workers(jobs, threads)


def _usable_cores() -> int:
    """Those this process may use, which can be fewer than the machine has."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
