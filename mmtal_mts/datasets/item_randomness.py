"""The random numbers of an item, from seed, epoch and item alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from mmtal_mts.utils.randomness import randomness_from

_OFF = -1


class ItemRandomness:
    """Lets an item be augmented in the same way whoever prepares it, and when.

    Neither the number of processes and workers matters then, nor whether a training
    was interrupted. Seed and epoch lie in shared memory, because workers live on from
    epoch to epoch and could not be told otherwise.
    """

    def __init__(self) -> None:
        self._seed_and_epoch = torch.full((2,), _OFF, dtype=torch.int64)

    def set(self, seed: int, epoch: int) -> None:
        """Sets what random numbers depend on; call it between epochs.

        Args:
            seed: Seed of the training, not negative.
            epoch: From 0.
        """
        # Not in the constructor: a copy of a data set would not be shared.
        self._seed_and_epoch.share_memory_()
        self._seed_and_epoch.copy_(torch.tensor([seed, epoch]))

    def of(self, index: int) -> AbstractContextManager[None]:
        """The random numbers of one item.

        Args:
            index: Index of the item in the data set.

        Returns:
            Context in which to prepare it. Before :meth:`set` was called, random
            numbers are what they are.
        """
        seed, epoch = self._seed_and_epoch.tolist()
        if seed == _OFF:
            return nullcontext()
        return randomness_from((seed, epoch, index))
