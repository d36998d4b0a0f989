from __future__ import annotations

from mmaction.registry import MODELS
from torch import Tensor, nn

from ..utils.distances import distance_giou
from .reduction import weighted_sum


@MODELS.register_module()
class SegmentGIoULoss(nn.Module):
    """``1 - GIoU`` of segments given as distances from one point (eq. 10).

    Args:
        loss_weight: Factor of the loss (alpha of eq. 7).
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> Tensor:
        """(M, 2) distances, (M, 2) distances, ``weight`` (M,) or (M, 2) -> scalar."""
        if weight is not None and weight.ndim == 2:
            weight = weight.mean(-1)
        values = 1 - distance_giou(pred, target)
        return self.loss_weight * weighted_sum(values, weight, avg_factor)


@MODELS.register_module()
class SegmentSmoothL1Loss(nn.Module):
    """Smooth L1 over both coordinates, summed (eq. 11).

    Args:
        beta: Where the quadratic part ends; 0 is plain L1, AFSD's choice on THUMOS14.
        loss_weight: Factor of the loss (alpha of eq. 7).
    """

    def __init__(self, beta: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.beta = beta
        self.loss_weight = loss_weight

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> Tensor:
        """(M, 2) offsets, (M, 2) offsets, ``weight`` (M, 2) -> scalar."""
        values = nn.functional.smooth_l1_loss(
            pred, target, reduction='none', beta=self.beta
        )
        return self.loss_weight * weighted_sum(values, weight, avg_factor)
