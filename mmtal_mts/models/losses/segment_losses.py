"""Losses between segments that are given as distances or offsets."""

from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..utils.distances import distance_giou
from ..utils.loss_utils import WeightedLoss

_BOX_LOSSES = 'mmdet.models.losses.iou_loss'


@MODELS.register_module()
class SegmentGIoULoss(WeightedLoss):
    """``1 - GIoU`` of segments given as distances from one point (eq. 10).

    Args:
        loss_weight: Factor of the loss (alpha of eq. 7).
    """

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """(M, 2) distances, (M, 2) distances -> (M,)."""
        return 1 - distance_giou(pred, target)


@MODELS.register_module()
class SegmentSmoothL1Loss(WeightedLoss):
    """Smooth L1 over both coordinates, summed (eq. 11).

    Args:
        beta: Where the quadratic part ends; 0 is plain L1, AFSD's choice on THUMOS14.
        loss_weight: Factor of the loss (alpha of eq. 7).
    """

    def __init__(self, beta: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.beta = beta

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """(M, 2) offsets, (M, 2) offsets -> (M, 2)."""
        return F.smooth_l1_loss(pred, target, reduction='none', beta=self.beta)


class SegmentBoxLoss(nn.Module):
    """A loss between boxes on segments: as boxes of height 1 on one line.

    There the IoU and the GIoU of the boxes are those of the segments.

    Args:
        box_loss: Takes (M, 4) boxes x1, y1, x2, y2, as MMDetection's losses do.
    """

    def __init__(self, box_loss: nn.Module) -> None:
        super().__init__()
        self.box_loss = box_loss

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> Tensor:
        """(M, 2) distances, (M, 2) distances, ``weight`` (M,) or (M, 2) -> scalar."""
        if weight is not None:
            # One per coordinate, which all of these losses take.
            share = weight.mean(-1) if weight.ndim == 2 else weight
            weight = share[:, None].expand(-1, 4)
        return self.box_loss(
            _as_boxes(pred), _as_boxes(target), weight, avg_factor=avg_factor
        )


def _as_boxes(distances: Tensor) -> Tensor:
    """Distances (M, 2) to start and end of the segment -> (M, 4) boxes."""
    signs = distances.new_tensor([-1.0, 0.0, 1.0, 0.0])
    corners = distances.repeat_interleave(2, dim=-1) * signs  # -d_s, 0, d_e, 0
    return corners + distances.new_tensor([0.0, 0.0, 0.0, 1.0])


def build_distance_loss(cfg: dict) -> nn.Module:
    """Builds a loss between distances, from our losses or MMDetection's.

    Args:
        cfg: Config of the loss. ``mmdet.GIoULoss`` and the others of its kind, which
            take boxes, are wrapped in :class:`SegmentBoxLoss`.

    Returns:
        Takes distances (M, 2), distances (M, 2), ``weight`` (M, 2), ``avg_factor``.
    """
    loss = MODELS.build(cfg)
    return SegmentBoxLoss(loss) if type(loss).__module__ == _BOX_LOSSES else loss
