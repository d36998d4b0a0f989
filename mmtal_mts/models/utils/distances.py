"""Overlap of segments that are described from the same point: torch, differentiable.

A location on the pyramid describes a segment by its distances to the start and to
the end. Two segments described from the same point overlap by the smaller of the
two distances on each side, which makes tIoU a matter of minima and sums.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPS = torch.finfo(torch.float32).eps


def distance_tiou(pred: Tensor, target: Tensor) -> Tensor:
    """Temporal IoU of segments (..., 2) given as distances -> (...).

    Negative when the point lies outside one segment by more than the overlap on the
    other side; callers that need a tIoU clamp at 0.
    """
    inter = torch.minimum(pred, target).sum(-1)
    union = pred.sum(-1) + target.sum(-1) - inter
    return inter / union.clamp(min=_EPS)


def distance_giou(pred: Tensor, target: Tensor) -> Tensor:
    """Generalised tIoU of segments (..., 2) given as distances -> (...) in (-1, 1].

    While the point lies in both segments, hull and union are the same and GIoU is
    tIoU (which is why eq. 10 behaves like an IoU loss on positives).
    """
    inter = torch.minimum(pred, target).sum(-1)
    union = (pred.sum(-1) + target.sum(-1) - inter).clamp(min=_EPS)
    hull = torch.maximum(pred, target).sum(-1).clamp(min=_EPS)
    return inter / union - (hull - union) / hull
