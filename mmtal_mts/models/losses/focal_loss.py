"""Losses of the classes and of the quality."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor

from ..utils.loss_utils import WeightedLoss


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
