"""Losses of eq. 7: of classes, of quality, and between segments."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .utils import distance_giou

_BOX_LOSSES = 'mmdet.models.losses.iou_loss'


class WeightedLoss(nn.Module):
    """A loss that is summed over locations and divided, as in MMDetection.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss of each of M predictions, (M,) or (M, 2)."""
        raise NotImplementedError

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            pred: M predictions.
            target: What they should be.
            weight: (M,) or (M, 2) with one per coordinate; ``None`` means 1.
            avg_factor: Divisor of the sum, such as the number of positives; ``None``
                takes the number of values, at least 1.
        """
        values = self.values(pred, target)
        if weight is not None:
            # One number for each segment: its coordinates have the same weight.
            weight = weight.mean(-1) if weight.ndim > values.ndim else weight
            values = values * weight
        if avg_factor is None:
            avg_factor = max(values.numel(), 1)
        return self.loss_weight * (values.sum() / avg_factor)


@MODELS.register_module()
class SoftmaxFocalLoss(WeightedLoss):
    """Focal loss over a softmax with background as the last class (eq. 8, 9).

    ``-alpha_c (1 - p)^gamma log p`` with ``p = softmax(logits)[label] + eps``;
    ``alpha_c`` is ``1 - alpha`` for background and ``alpha`` for every action, the
    numbers of the AFSD baseline.

    Args:
        gamma: Focusing exponent.
        alpha: Weight of every action class.
        eps: Added to the probability before the logarithm.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float = 0.75,
        eps: float = 1e-6,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(loss_weight)
        self.gamma = gamma
        self.alpha = alpha
        self.eps = eps

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """(M, K+1) logits, (M,) labels in 0..K where K is background -> (M,)."""
        probs = pred.softmax(-1).gather(-1, target[:, None]).squeeze(-1) + self.eps
        alpha = torch.full_like(probs, self.alpha)
        alpha[target == pred.shape[-1] - 1] = 1 - self.alpha
        return -alpha * (1 - probs) ** self.gamma * probs.log()


@MODELS.register_module()
class QualityBCELoss(WeightedLoss):
    """Binary cross entropy between the quality logit and the tIoU reached (eq. 12).

    Args:
        loss_weight: Factor of the loss (beta of eq. 7).
    """

    def values(self, pred: Tensor, target: Tensor) -> Tensor:
        """(M,) logits, (M,) tIoU in [0, 1] -> (M,)."""
        return F.binary_cross_entropy_with_logits(pred, target, reduction='none')


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
        boxes = map(_as_boxes, (pred, target))
        return self.box_loss(*boxes, weight, avg_factor=avg_factor)


def _as_boxes(distances: Tensor) -> Tensor:
    """Distances (M, 2) to start and end of the segment -> (M, 4) boxes."""
    before, after = distances.unbind(-1)
    low, high = torch.zeros_like(before), torch.ones_like(before)
    return torch.stack([-before, low, after, high], dim=-1)


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
