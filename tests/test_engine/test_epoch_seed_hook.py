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


class Told:
    """A data set that keeps what it was told."""

    told = None

    def __len__(self):
        return 8

    def set_epoch_seed(self, seed, epoch):
        self.told = seed, epoch


def runner(epoch, seed=5, loop=EpochBasedTrainLoop, dataset=None):
    dataset = dataset or Told()
    return SimpleNamespace(
        seed=seed,
        epoch=epoch,
        train_loop=object.__new__(loop),
        train_dataloader=SimpleNamespace(
            dataset=dataset, sampler=DefaultSampler(dataset, seed=1)
        ),
    )


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def enter(epoch, **kwargs):
    """Numbers drawn at the start of an epoch by a training that just began."""
    now = runner(epoch, **kwargs)
    hook = EpochSeedHook()
    hook.before_train(now)
    hook.before_train_epoch(now)
    return draw()


def test_numbers_depend_on_seed_and_epoch_only():
    first = enter(3)
    draw()
    assert enter(3) == first
    for other in (enter(4), enter(3, seed=6)):
        assert not set(other) & set(first)
    assert len(set(first)) == 3


def test_data_sets_are_told_through_their_wrappers():
    inner = [Told(), Told()]
    joined = SimpleNamespace(datasets=inner, __len__=lambda: 16)
    enter(2, dataset=_Wrapper(dataset=joined))
    assert [dataset.told for dataset in inner] == [(5, 2), (5, 2)]


class _Wrapper:
    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return 16


def test_sampler_gets_the_seed_of_a_resumed_checkpoint():
    now = runner(0, seed=77)
    EpochSeedHook().before_train(now)
    assert now.train_dataloader.sampler.seed == 77


def test_training_by_iterations_is_left_alone():
    torch.manual_seed(0)
    wanted = torch.rand(1).item()
    torch.manual_seed(0)
    now = runner(0, loop=IterBasedTrainLoop)
    hook = EpochSeedHook()
    hook.before_train(now)
    hook.before_train_epoch(now)
    assert torch.rand(1).item() == wanted
    assert now.train_dataloader.dataset.told is None


@pytest.mark.parametrize('rank', [0, 1])
def test_processes_draw_other_numbers(monkeypatch, rank):
    alone = enter(3)
    monkeypatch.setattr('mmengine.dist.get_rank', lambda: rank)
    assert (enter(3) == alone) == (rank == 0)
