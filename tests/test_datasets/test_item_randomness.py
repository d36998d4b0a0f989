"""An item is augmented in the same way whoever prepares it, and when."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmtal_mts.datasets import TALDataset


def numbers():
    return torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()])


class Noise(TALDataset):
    """Items are random numbers."""

    def __init__(self, *epoch_seed):
        super().__init__('none', lazy_init=True)
        self._fully_initialized = True
        if epoch_seed:
            self.set_epoch_seed(*epoch_seed)

    def __len__(self):
        return 6

    def prepare_data(self, index):
        if index < 0:
            raise ValueError
        return numbers()


def test_depends_on_seed_epoch_and_item():
    first = Noise(3, 1)[2]
    assert torch.equal(Noise(3, 1)[2], first)
    for other in (Noise(3, 2)[2], Noise(4, 1)[2], Noise(3, 1)[3]):
        assert not torch.isin(other, first).any()
    # Before a training, numbers are what they are.
    dataset = Noise()
    assert not torch.equal(dataset[0], dataset[0])


def test_workers_that_live_on_are_told_of_the_epoch():
    dataset = copy.deepcopy(Noise())
    settings = dict(num_workers=2, persistent_workers=True)
    loader, seen = DataLoader(dataset, batch_size=None, **settings), []
    for epoch in range(2):
        dataset.set_epoch_seed(3, epoch)
        seen.append(torch.stack(list(loader)))
        alone = DataLoader(Noise(3, epoch), batch_size=None)
        assert torch.equal(seen[-1], torch.stack(list(alone)))
    assert not torch.equal(*seen)


def test_other_random_numbers_go_on_undisturbed():
    dataset, drawn = Noise(3, 0), []
    for index in (None, 0, -1):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        if index == -1:
            with pytest.raises(ValueError):
                dataset[index]
        elif index is not None:
            dataset[index]
        drawn.append(numbers())
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])
