"""Start/end loss and boundary consistency against recorded numbers and by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from mmtal_mts.models import BoundaryBCELoss, BoundaryTripletLoss

GOLDENS = Path(__file__).parents[2] / 'data' / 'goldens'
with np.load(GOLDENS / 'b_bce_triplet.npz') as data:
    GOLDEN = {key: data[key] for key in data.files}


def test_recorded_start_and_end_loss():
    # Recorded as (N, T, C).
    kinds, total = ('start', 'end'), 0
    names = [[f'{kind}{x}' for x in ('', '_loc_prop', '_conf_prop')] for kind in kinds]
    features = {
        name: torch.from_numpy(GOLDEN[f'bce/{name}']).requires_grad_()
        for name in sum(names, [])
    }
    curves = torch.from_numpy(GOLDEN['bce/scores'])
    for index, kind in enumerate(kinds):
        frame_level, *auxiliaries = (features[name].mT for name in names[index])
        value = BoundaryBCELoss()(frame_level, auxiliaries, curves[:, index])
        expected = float(GOLDEN[f'bce/loss_{kind}'])
        assert value.item() == pytest.approx(expected, rel=1e-5)
        total += (1 + index) * value
    total.backward()
    for name, feature in features.items():
        expected = GOLDEN[f'bce/grad_start_plus_2end/{name}']
        np.testing.assert_allclose(feature.grad, expected, rtol=1e-5, atol=1e-9)


def test_start_and_end_loss_by_hand():
    frame_level = torch.tensor([[[0.0, 2.0], [0.0, 0.5]]])
    curve = torch.tensor([[0.0, 1.0]])
    active = (np.tanh(2) + np.tanh(0.5)) / 2
    auxiliary = torch.tensor([[[1.0]]])  # one position for both frames
    expected = -np.log(active) / 2 - 0.5 * np.log(1 - np.tanh(1))
    loss = BoundaryBCELoss(auxiliary_weight=0.5, loss_weight=3.0)
    value = loss(frame_level, [auxiliary], curve)
    assert value.item() == pytest.approx(3 * expected, rel=1e-5)


def test_silent_features_have_a_finite_loss():
    loss = BoundaryBCELoss()(torch.zeros(1, 2, 4), [], torch.ones(1, 4))
    assert loss.item() == 100  # the logarithm is cut off there


def test_recorded_triplet():
    a, p, n = (torch.from_numpy(GOLDEN[f'triplet/{k}']).requires_grad_() for k in 'apn')
    # Starts in the first half of the channels, ends in the second.
    starts = torch.stack([torch.randn_like(a), p, n], -1)
    ends = torch.stack([a, torch.randn_like(a), torch.randn_like(a)], -1)
    pooled = torch.cat([starts, ends], 1)
    value = BoundaryTripletLoss(loss_weight=1.0)(pooled, [])
    assert value.item() == pytest.approx(float(GOLDEN['triplet/loss']), rel=1e-5)
    value.backward()
    for name, tensor in zip('apn', (a, p, n), strict=True):
        np.testing.assert_allclose(
            tensor.grad, GOLDEN[f'triplet/grad_{name}'], rtol=1e-5, atol=1e-9
        )


def test_triplet_by_hand():
    # One channel for starts, one for ends: |a - p| = 3, |a - n| = 1.
    pooled = torch.tensor([[[9.0, 3.0, -1.0], [0.0, 9.0, 9.0]]], requires_grad=True)
    auxiliary = pooled.detach() * 2  # 6 and 2
    loss = BoundaryTripletLoss(margin=1.0, auxiliary_weight=0.5, loss_weight=0.1)
    value = loss(pooled, [auxiliary])
    assert value.item() == pytest.approx(0.1 * (3 + 0.5 * 5), rel=1e-5)
    value.backward()
    expected = torch.tensor([[[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]]) * 0.1
    # The anchor is pulled by both: -1 of the positive, -1 of the negative.
    expected[0, 1, 0] = -0.2
    assert_close(pooled.grad, expected, rtol=1e-5, atol=1e-7)


def test_triplet_is_the_mean_of_its_clips():
    pooled, auxiliary = torch.rand(3, 8, 3), torch.rand(3, 4, 3)
    loss = BoundaryTripletLoss()
    alone = [loss(pooled[i : i + 1], [auxiliary[i : i + 1]]) for i in range(3)]
    assert_close(loss(pooled, [auxiliary]), torch.stack(alone).mean())
