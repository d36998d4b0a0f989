"""An item is augmented in the same way whoever prepares it, and when."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mmtal_mts.datasets import TALDataset


class Noise(TALDataset):
    """Items are random numbers."""

    def __init__(self):
        super().__init__('none', lazy_init=True)
        self._fully_initialized = True

    def __len__(self):
        return 6

    def prepare_data(self, index):
        if index < 0:
            raise ValueError
        return torch.tensor([random.random(), np.random.rand(), torch.rand(1).item()])


def epoch(dataset, number, **kwargs):
    dataset.set_epoch_seed(3, number)
    return torch.stack(list(DataLoader(dataset, batch_size=None, **kwargs)))


def test_depends_on_seed_epoch_and_item():
    dataset = Noise()
    dataset.set_epoch_seed(3, 1)
    first = dataset[2]
    assert torch.equal(dataset[2], first)
    dataset.set_epoch_seed(3, 2)
    assert not torch.isin(dataset[2], first).any()
    dataset.set_epoch_seed(4, 1)
    assert not torch.isin(dataset[2], first).any()
    dataset.set_epoch_seed(3, 1)
    assert not torch.isin(dataset[3], first).any()


def test_workers_that_live_on_are_told_of_the_epoch():
    dataset = copy.deepcopy(Noise())
    loader = DataLoader(
        dataset, batch_size=None, num_workers=2, persistent_workers=True
    )
    seen = []
    for number in range(2):
        dataset.set_epoch_seed(3, number)
        seen.append(torch.stack(list(loader)))
    assert not torch.equal(seen[0], seen[1])
    for number in range(2):
        assert torch.equal(seen[number], epoch(Noise(), number))


def test_other_random_numbers_go_on_undisturbed():
    dataset = Noise()
    dataset.set_epoch_seed(3, 0)
    random.seed(0)
    np.random.seed(0)
    wanted = random.random(), np.random.rand(), torch.rand(1)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    dataset[0]
    assert (random.random(), np.random.rand(), torch.rand(1)) == wanted
    with pytest.raises(ValueError):
        dataset[-1]
    after = torch.get_rng_state()
    dataset[1]
    assert torch.equal(torch.get_rng_state(), after)


def test_before_a_training_numbers_are_what_they_are():
    dataset = Noise()
    assert not torch.equal(dataset[0], dataset[0])
