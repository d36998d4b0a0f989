"""Losses of several processes average to that of one with the whole batch."""

from __future__ import annotations

import pytest
import torch

from mmtal_mts.models.utils import loss_utils as module
from mmtal_mts.models.utils.loss_utils import (
    loss_weights,
    mean_count,
    mean_over_ranks,
)


@pytest.fixture
def beside(monkeypatch):
    """Makes this one of two processes; says what the other one has."""

    def other_has(value):
        def all_reduce(tensor, op):
            assert op == 'mean'
            tensor.add_(torch.as_tensor(value)).div_(2)

        monkeypatch.setattr(module, 'get_world_size', lambda: 2)
        monkeypatch.setattr(module, 'all_reduce', all_reduce)

    return other_has


def test_alone():
    value = torch.tensor([2, 4])
    assert mean_over_ranks(value).tolist() == [2.0, 4.0]
    assert mean_count(torch.tensor(0)) == 1
    assert mean_count(torch.tensor(5)) == 5


@pytest.mark.parametrize(('ours', 'theirs'), [(3, 1), (0, 4), (1, 0), (0, 0)], ids=str)
def test_mean_of_two_losses_is_the_loss_of_the_whole_batch(beside, ours, theirs):
    def sum_of(count):
        return 2.5 * count

    beside(theirs)
    first = sum_of(ours) / mean_count(torch.tensor(ours))
    beside(ours)
    second = sum_of(theirs) / mean_count(torch.tensor(theirs))
    wanted = (sum_of(ours) + sum_of(theirs)) / max(ours + theirs, 1)
    assert (first + second) / 2 == pytest.approx(wanted)


def test_value_stays_as_it_was(beside):
    value = torch.tensor([1.0, 3.0], requires_grad=True)
    beside([3.0, 5.0])
    mean = mean_over_ranks(value)
    assert mean.tolist() == [2.0, 4.0] and not mean.requires_grad
    assert value.tolist() == [1.0, 3.0]


def test_normalizer_counts_the_positives_of_all(beside):
    beside(0)
    positive = torch.tensor([[True, False]])
    assert loss_weights(positive, 'batch')[1] == 0.5
