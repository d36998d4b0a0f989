"""Random numbers of an epoch do not depend on how the epoch was reached."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmtal_mts.engine import EpochSeedHook


class Data:
    """A data set that keeps its seeds, or wraps others."""

    def __init__(self, **inner) -> None:
        self.__dict__.update(inner)
        if not inner:
            self.seeds = None
            self.set_epoch_seed = lambda *seeds: setattr(self, 'seeds', seeds)

    def __len__(self) -> int:
        return 8


def enter(epoch, seed=5, loop=EpochBasedTrainLoop, dataset=None):
    """Starts an epoch of a training that just began: its data loader."""
    dataset = dataset or Data()
    loader = SimpleNamespace(dataset=dataset, sampler=DefaultSampler(dataset, seed=1))
    runner = SimpleNamespace(
        seed=seed, epoch=epoch, train_loop=object.__new__(loop), train_dataloader=loader
    )
    hook = EpochSeedHook()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    return loader


def draw(*args, **kwargs):
    """Numbers drawn after :func:`enter`."""
    enter(*args, **kwargs)
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_numbers_depend_on_seed_and_epoch_only():
    first = draw(3)
    assert draw(3) == first
    for other in (draw(4), draw(3, seed=6)):
        assert not set(other) & set(first)
    assert len(set(first)) == 3


def test_wrapped_data_sets_and_the_sampler_get_the_seed():
    inner = [Data(), Data()]
    loader = enter(2, dataset=Data(dataset=Data(datasets=inner)))
    assert [dataset.seeds for dataset in inner] == [(5, 2), (5, 2)]
    # It was built before the checkpoint, which has another seed, was read.
    assert loader.sampler.seed == 5


def test_training_by_iterations_is_left_alone():
    torch.manual_seed(0)
    wanted = torch.rand(1).item()
    torch.manual_seed(0)
    loader = enter(0, loop=IterBasedTrainLoop)
    assert torch.rand(1).item() == wanted
    assert loader.dataset.seeds is None


@pytest.mark.parametrize('rank', [0, 1])
def test_processes_draw_other_numbers(monkeypatch, rank):
    alone = draw(3)
    monkeypatch.setattr('mmengine.dist.get_rank', lambda: rank)
    assert (draw(3) == alone) == (rank == 0)
