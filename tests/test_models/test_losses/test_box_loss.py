"""Losses between boxes, on segments."""

from __future__ import annotations

import torch
from torch import nn

from mmtal_mts.models import SegmentGIoULoss
from mmtal_mts.models.losses import SegmentBoxLoss, build_distance_loss


class Recorder(nn.Module):
    """Keeps what it is called with."""

    def forward(self, pred, target, weight=None, avg_factor=None):
        self.seen = pred, target, weight, avg_factor
        return pred.sum()


def test_segments_become_boxes_of_height_1():
    loss = SegmentBoxLoss(Recorder())
    pred = torch.tensor([[2.0, 3.0], [0.5, 7.0]], requires_grad=True)
    weight = torch.tensor([[1.0, 1.0], [0.25, 0.25]])
    loss(pred, torch.tensor([[1.0, 4.0], [2.0, 2.0]]), weight, 5).backward()
    boxes, target, weight, avg_factor = loss.box_loss.seen
    assert boxes.tolist() == [[-2.0, 0.0, 3.0, 1.0], [-0.5, 0.0, 7.0, 1.0]]
    assert target.tolist() == [[-1.0, 0.0, 4.0, 1.0], [-2.0, 0.0, 2.0, 1.0]]
    assert weight.tolist() == [[1.0] * 4, [0.25] * 4] and avg_factor == 5
    assert pred.grad.tolist() == [[-1.0, 1.0]] * 2


def test_no_positives_and_no_weight():
    loss = SegmentBoxLoss(Recorder())
    loss(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0))
    assert loss.box_loss.seen[2].shape == (0, 4)
    loss(torch.zeros(0, 2), torch.zeros(0, 2))
    assert loss.box_loss.seen[0].shape == (0, 4)
    assert loss.box_loss.seen[2] is None


def test_our_own_losses_are_not_wrapped():
    loss = build_distance_loss(dict(type='SegmentGIoULoss', loss_weight=3.0))
    assert type(loss) is SegmentGIoULoss and loss.loss_weight == 3.0
    # A weight per segment or per distance: the same.
    pred, target = torch.rand(4, 2), torch.rand(4, 2)
    weight = torch.rand(4)
    torch.testing.assert_close(
        loss(pred, target, weight, 2),
        loss(pred, target, weight[:, None].expand(-1, 2), 2),
    )
