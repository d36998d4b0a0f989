"""Work in other processes and in threads, on top of ``concurrent.futures``.

Also random numbers that depend on what is asked for, not on who works or what came
before.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import random
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar('T')


def run_ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """Makes items in a thread of their own, up to ``depth`` of them in advance.

    What making them raises is raised here.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix='run_ahead')
    try:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(max(depth, 1)))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, iterator, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def run_jobs(
    function: Callable[[T], Any], jobs: Sequence[T], workers: int
) -> Iterator[tuple[T, Any]]:
    """Runs every job in one of several processes.

    A job that raises, or whose process dies (a decoder that crashes on a damaged file,
    the system running out of memory), fails by itself: the others go on. Processes end
    with the one that started them.

    Args:
        function: Called with a job.
        jobs: Jobs.
        workers: How many run at a time.

    Yields:
        Job, and what the function returned or raised, in the order in which they end;
        a ChildProcessError if its process died.
    """
    # A forked process starts at once; a new interpreter imports everything again.
    method = 'fork' if sys.platform.startswith('linux') else 'spawn'
    context = multiprocessing.get_context(method)
    # A process that dies takes its pool along; alone, each job fails only by itself.
    rounds = [list(jobs)] if jobs else []
    for batch in rounds:
        pool = ProcessPoolExecutor(min(workers, len(batch)), context, _end_with_parent)
        try:
            futures = {}
            for position, job in enumerate(batch):
                try:
                    futures[pool.submit(function, job)] = job
                except BrokenExecutor:  # by an earlier job
                    rounds.append(batch[position:])
                    break
            for future in as_completed(futures):
                job, error = futures[future], future.exception()
                if isinstance(error, BrokenExecutor):
                    if len(batch) > 1:
                        rounds.append([job])
                        continue
                    error = ChildProcessError(
                        'its process died; the file may be damaged, or the memory too '
                        'small for so many workers'
                    )
                yield job, error or future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Makes this process end when its parent is killed, instead of waiting forever."""

    def watch() -> None:
        multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def seed_from(numbers: Sequence[int], *, gpus: bool = True) -> None:
    """Seeds the generators of Python, numpy and torch, each unlike the others.

    Args:
        numbers: Not negative, e.g. seed, epoch and rank. Other numbers give
            unrelated random numbers.
        gpus: Also those of GPUs.
    """
    seeds = np.random.SeedSequence(list(numbers)).generate_state(3).tolist()
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    (torch if gpus else torch.default_generator).manual_seed(seeds[2])


@contextmanager
def randomness_from(numbers: Sequence[int]) -> Iterator[None]:
    """Seeds the generators of this process for a while, except those of GPUs.

    Args:
        numbers: As in :func:`seed_from`.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed_from(numbers, gpus=False)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
