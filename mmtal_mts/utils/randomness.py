"""Random numbers that depend on what is asked for, not on what came before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


def seed_from(numbers: Sequence[int]) -> None:
    """Seeds Python's, numpy's and torch's generators, those of GPUs included.

    Args:
        numbers: Not negative, e.g. seed, epoch and rank. Other numbers give
            unrelated random numbers.
    """
    torch.manual_seed(_seed_cpu(numbers))


@contextmanager
def randomness_from(numbers: Sequence[int]) -> Iterator[None]:
    """Seeds the generators of this process for a while, except those of GPUs.

    Args:
        numbers: As in :func:`seed_from`.

    Yields:
        Nothing. Afterwards the generators go on where they were.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_cpu(numbers)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_cpu(numbers: Sequence[int]) -> int:
    """Seeds each generator unlike the others; returns the seed of torch's."""
    seeds = np.random.SeedSequence(list(numbers)).generate_state(3).tolist()
    random.seed(seeds[0])
    np.random.seed(seeds[1])
    torch.default_generator.manual_seed(seeds[2])
    return seeds[2]
