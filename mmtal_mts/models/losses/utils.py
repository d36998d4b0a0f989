"""What the losses of both heads share: overlap, weights, sums and divisors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import bias_init_with_prob
from torch import Tensor, nn

from ..layers import SameConv1d

# Probability of every class at the start, as in the focal loss paper.
_PRIOR = 0.01
_EPS = torch.finfo(torch.float32).eps


def distance_tiou(pred: Tensor, target: Tensor) -> Tensor:
    """Temporal IoU of segments (..., 2) given as distances from one point -> (...).

    Both contain the point, so they overlap by the smaller distance on each side.
    Negative when the point lies outside one segment by more than the overlap on the
    other side; callers that need a tIoU clamp at 0.
    """
    inter = torch.minimum(pred, target).sum(-1)
    union = pred.sum(-1) + target.sum(-1) - inter
    return inter / union.clamp(min=_EPS)


def best_tiou(points: Tensor, distances: Tensor, segments: Sequence[Tensor]) -> Tensor:
    """Gives the tIoU of what locations found with what it overlaps most.

    Args:
        points: (P,) location centres in sampled frames.
        distances: (N, P, 2) from them to start and end of what was found there.
        segments: Per clip (G, 2) in sampled frames; its actions need not hold the
            locations.

    Returns:
        (N, P) in [0, 1]; 0 for what overlaps none.
    """
    best = []
    for found, own in zip(distances, segments, strict=True):
        start, end = own.to(found).unbind(-1)
        wanted = torch.stack([points[:, None] - start, end - points[:, None]], dim=-1)
        tiou = distance_tiou(found[:, None], wanted)  # (P, G)
        # The 0 of no action, also where there is none.
        best.append(nn.functional.pad(tiou, (0, 1)).amax(dim=1))
    return torch.stack(best)


def distance_giou(pred: Tensor, target: Tensor) -> Tensor:
    """Generalised tIoU of segments (..., 2) given as distances -> (...) in (-1, 1].

    While the point lies in both segments, hull and union are the same and GIoU is
    tIoU (which is why eq. 10 behaves like an IoU loss on positives).
    """
    inter = torch.minimum(pred, target).sum(-1)
    union = (pred.sum(-1) + target.sum(-1) - inter).clamp(min=_EPS)
    hull = torch.maximum(pred, target).sum(-1).clamp(min=_EPS)
    return inter / union - (hull - union) / hull


class SigmoidClassConv(SameConv1d):
    """Predicts logits that start out improbable, whatever the head's ``init_cfg``.

    At one half, the many background locations would drown the first steps.
    """

    def init_weights(self) -> None:
        """Called by MMEngine after the ``init_cfg`` of the head was applied."""
        nn.init.constant_(self.bias, bias_init_with_prob(_PRIOR))


def class_conv(
    channels: int, num_classes: int, kernel_size: int, loss_cls: nn.Module
) -> tuple[SameConv1d, bool]:
    """The convolution that predicts as many logits as the loss takes.

    Args:
        channels: Channels C' of the feature.
        num_classes: K, without background.
        kernel_size: Kernel size.
        loss_cls: Built loss; ``use_sigmoid`` is MMDetection's name of the setting that
            rates every class by itself.

    Returns:
        The convolution and ``use_sigmoid``: True for K logits that go through a
        sigmoid, False for K+1 that go through a softmax, background last.
    """
    if not getattr(loss_cls, 'use_sigmoid', False):
        return SameConv1d(channels, num_classes + 1, kernel_size), False
    conv = SigmoidClassConv(channels, num_classes, kernel_size)
    conv.init_weights()
    return conv, True


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a value over the processes, as float32, without gradient.

    Losses are averaged over the processes by DDP; dividing each by the mean count
    (:func:`mean_count`) makes the result that of one process with the whole batch.
    """
    value = value.detach().float()
    if get_world_size() > 1:
        value = value.clone()
        all_reduce(value, 'mean')
    return value


def mean_count(count: Tensor) -> Tensor:
    """Mean of a count over the processes; a total of 0 counts as 1."""
    return mean_over_ranks(count).clamp(min=1 / get_world_size())


def check_choice(name: str, value: str, *choices: str) -> str:
    """Returns the value or raises a ValueError that names the choices."""
    if value not in choices:
        raise ValueError(f'{name}={value!r}: choose {" or ".join(map(repr, choices))}')
    return value


def loss_weights(positive: Tensor, normalize_by: str) -> tuple[Tensor, Tensor | int]:
    """How the sum of a loss over locations becomes a mean over positives.

    Args:
        positive: (N, P) bool.
        normalize_by: ``'batch'`` divides by the positives of the whole batch, at
            least 1; ``'clip'`` divides every clip by its own, at least 1, and
            averages over the clips, so that each clip has the same say.

    Returns:
        Weight (N, P) of every location, and the divisor of the weighted sum.
    """
    weight = torch.ones_like(positive, dtype=torch.float32)
    if normalize_by == 'batch':
        return weight, mean_count(positive.sum())
    return weight / positive.sum(dim=1, keepdim=True).clamp(min=1), len(positive)


def keep_chosen(chosen: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Sets what was not chosen to 0, so that neither it nor its gradient can be NaN.

    Values (N, P, ...) become (N * P, ...) for ``chosen`` (N, P). To pick the chosen
    ones would make a GPU wait until it is known how many there are.
    """
    out = ~chosen.flatten()
    flat = [value.flatten(0, 1) for value in values]
    return tuple(v.masked_fill(out.view(-1, *[1] * (v.ndim - 1)), 0.0) for v in flat)


def mean_over_chosen(
    loss: nn.Module,
    chosen: Tensor,
    weights: tuple[Tensor, Tensor | int],
    pred: Tensor,
    target: Tensor,
) -> Tensor:
    """A loss over the chosen locations alone.

    Args:
        loss: Takes ``pred``, ``target``, ``weight`` and ``avg_factor``.
        chosen: (N, P) bool.
        weights: As :func:`loss_weights` returns them.
        pred: (N, P), or distances or offsets (N, P, 2).
        target: Of the same shape.
    """
    weight = (weights[0] * chosen).flatten()
    if pred.ndim == 3:
        weight = weight[:, None].expand(-1, 2)
    pred, target = keep_chosen(chosen, pred, target)
    return loss(pred, target, weight=weight, avg_factor=weights[1])
