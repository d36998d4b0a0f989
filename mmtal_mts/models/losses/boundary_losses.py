"""Losses of the AFSD baseline that train the boundary features directly."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class BoundaryBCELoss(nn.Module):
    """Asks the start (end) half of the channels to be active at starts (ends).

    The activity of a position is the mean over the channels of ``tanh(feature)``,
    which is in [0, 1) for features after a ReLU; its binary cross entropy with the
    boundary curve is averaged over clips and positions. The frame-level feature
    counts once, each auxiliary feature of the finest level ``auxiliary_weight``.

    Args:
        auxiliary_weight: Weight of the features of the finest pyramid level.
        loss_weight: Factor of the loss.
    """

    def __init__(self, auxiliary_weight: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.auxiliary_weight = auxiliary_weight
        self.loss_weight = loss_weight

    def forward(
        self, frame_level: Tensor, auxiliaries: Sequence[Tensor], curve: Tensor
    ) -> Tensor:
        """Computes the loss of one kind of boundary.

        Args:
            frame_level: (N, C, T) half of the frame-level feature.
            auxiliaries: Halves of features (N, C_i, T_i) of the finest level, T_i a
                divisor of T.
            curve: (N, T) 0 or 1, see :class:`BoundaryCurveGenerator`.
        """
        loss, weight = 0.0, 1.0
        for feature in (frame_level, *auxiliaries):
            activity = feature.float().tanh().mean(dim=1)
            # Every T / T_i-th frame stands for a position of the level (AFSD).
            wanted = curve[:, :: curve.shape[1] // feature.shape[2]].to(activity)
            loss = loss + weight * F.binary_cross_entropy(activity, wanted)
            weight = self.auxiliary_weight
        return self.loss_weight * loss


@MODELS.register_module()
class BoundaryTripletLoss(nn.Module):
    """Boundary consistency: the two sides of a cut action stay alike.

    An action is cut in two and a stretch of background inserted (see
    ``CutInsertBackground``). The feature at the end of the first part should be
    nearer to that at the start of the second part than to that at the start of the
    inserted background.

    Args:
        margin: Margin of the triplet loss.
        auxiliary_weight: Weight of the features of the finest pyramid level; the
            frame-level feature has 1.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self,
        margin: float = 1.0,
        auxiliary_weight: float = 0.1,
        loss_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.margin = margin
        self.auxiliary_weight = auxiliary_weight
        self.loss_weight = loss_weight

    def forward(self, frame_level: Tensor, auxiliaries: Sequence[Tensor]) -> Tensor:
        """Computes the loss, averaged over the clips.

        Args:
            frame_level: (N, C, 3) frame-level feature pooled around the boundaries of
                the first part, the second part and the inserted background; the first
                half of the channels is around starts, the second around ends.
            auxiliaries: Features (N, C_i, 3) of the finest level, pooled likewise.
        """
        loss, weight = 0.0, 1.0
        for pooled in (frame_level, *auxiliaries):
            starts, ends = pooled.float().chunk(2, dim=1)
            anchor, positive, negative = ends[..., 0], starts[..., 1], starts[..., 2]
            loss = loss + weight * F.triplet_margin_loss(
                anchor, positive, negative, margin=self.margin
            )
            weight = self.auxiliary_weight
        return self.loss_weight * loss
