"""Losses of the classes and of the quality."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from ..utils.loss_utils import weighted_sum


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
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
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha
        self.eps = eps
        self.loss_weight = loss_weight

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            logits: (M, K+1).
            labels: (M,) in 0..K, K is background.
            weight: (M,) or ``None``.
            avg_factor: Divisor of the sum: the number of positives.

        Returns:
            Scalar.
        """
        probs = logits.softmax(-1).gather(-1, labels[:, None]).squeeze(-1) + self.eps
        background = logits.shape[-1] - 1
        alpha = torch.full_like(probs, self.alpha)
        alpha[labels == background] = 1 - self.alpha
        values = -alpha * (1 - probs) ** self.gamma * probs.log()
        return self.loss_weight * weighted_sum(values, weight, avg_factor)


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
