"""Random numbers that depend on what is asked for, not on what came before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


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
