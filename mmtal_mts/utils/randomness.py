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
    python, numpy, pytorch = _seeds(numbers)
    random.seed(python)
    np.random.seed(numpy)
    torch.manual_seed(pytorch)


@contextmanager
def randomness_from(numbers: Sequence[int]) -> Iterator[None]:
    """Seeds the generators of this process for a while, except those of GPUs.

    Args:
        numbers: As in :func:`seed_from`.

    Yields:
        Nothing. Afterwards the generators go on where they were.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    python, numpy, pytorch = _seeds(numbers)
    random.seed(python)
    np.random.seed(numpy)
    torch.default_generator.manual_seed(pytorch)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seeds(numbers: Sequence[int]) -> list[int]:
    """Three seeds that have nothing to do with each other."""
    return np.random.SeedSequence(list(numbers)).generate_state(3).tolist()
