"""What the losses of both heads share: how they are weighted, summed and divided."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import bias_init_with_prob
from torch import Tensor, nn

from ..layers import SameConv1d

NORMALIZERS = ('batch', 'clip')
# Probability of every class at the start, as in the focal loss paper.
_PRIOR = 0.01


class SigmoidClassConv(SameConv1d):
    """Predicts logits that start out improbable, whatever the head's ``init_cfg``.

    At one half, the many background locations would drown the first steps.
    """

    def __init__(self, channels: int, num_classes: int, kernel_size: int) -> None:
        super().__init__(channels, num_classes, kernel_size)
        self.init_weights()

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
    if getattr(loss_cls, 'use_sigmoid', False):
        return SigmoidClassConv(channels, num_classes, kernel_size), True
    return SameConv1d(channels, num_classes + 1, kernel_size), False


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
            # One number for each segment, whose coordinates have the same weight.
            weight = weight.mean(-1) if weight.ndim > values.ndim else weight
            values = values * weight
        if avg_factor is None:
            avg_factor = max(values.numel(), 1)
        return self.loss_weight * (values.sum() / avg_factor)


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
    """Mean of a count over the processes, whose total counts as 1 at least."""
    return mean_over_ranks(count).clamp(min=1 / get_world_size())


def check_normalizer(normalize_by: str) -> str:
    """Returns the value or raises a ValueError that names the choices."""
    if normalize_by not in NORMALIZERS:
        raise ValueError(f'normalize_by={normalize_by!r}: choose from {NORMALIZERS}')
    return normalize_by


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
    masks = (~chosen.view(*chosen.shape, *[1] * (v.ndim - 2)) for v in values)
    return tuple(
        value.masked_fill(mask, 0.0).flatten(0, 1)
        for value, mask in zip(values, masks, strict=True)
    )


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
    weight, avg_factor = weights
    weight = (weight * chosen).flatten()
    if pred.ndim == 3:
        weight = weight[:, None].expand(-1, 2)
    pred, target = keep_chosen(chosen, pred, target)
    return loss(pred, target, weight=weight, avg_factor=avg_factor)
