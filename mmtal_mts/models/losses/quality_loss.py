from __future__ import annotations

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from .reduction import weighted_sum


@MODELS.register_module()
class QualityBCELoss(nn.Module):
    """Binary cross entropy between the quality logit and the tIoU reached (eq. 12).

    Args:
        loss_weight: Factor of the loss (beta of eq. 7).
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        tiou: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> Tensor:
        """(M,) logits, (M,) tIoU in [0, 1] -> scalar."""
        values = F.binary_cross_entropy_with_logits(logits, tiou, reduction='none')
        return self.loss_weight * weighted_sum(values, weight, avg_factor)
