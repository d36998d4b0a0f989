"""What the losses of both heads share: how they are summed, weighted and divided."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import bias_init_with_prob
from torch import Tensor, nn

from ..layers import SameConv1d

NORMALIZERS = ('batch', 'clip')
# Probability of every class at the start, as in the focal loss paper.
_PRIOR = 0.01


def uses_sigmoid(loss_cls: nn.Module) -> bool:
    """Whether a classification loss rates every class by itself.

    Args:
        loss_cls: Built loss; ``use_sigmoid`` is MMDetection's name of that setting.

    Returns:
        True for K logits that go through a sigmoid, False for K+1 that go through a
        softmax, background last.
    """
    return bool(getattr(loss_cls, 'use_sigmoid', False))


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
) -> SameConv1d:
    """The convolution that predicts as many logits as the loss takes.

    Args:
        channels: Channels C' of the feature.
        num_classes: K, without background.
        kernel_size: Kernel size.
        loss_cls: Built classification loss.

    Returns:
        Convolution to K or K+1 channels, see :func:`uses_sigmoid`.
    """
    if uses_sigmoid(loss_cls):
        return SigmoidClassConv(channels, num_classes, kernel_size)
    return SameConv1d(channels, num_classes + 1, kernel_size)


def weighted_sum(
    values: Tensor, weight: Tensor | None, avg_factor: float | Tensor | None
) -> Tensor:
    """Sum of (weighted) values over a normaliser.

    Args:
        values: Any shape.
        weight: Broadcastable to ``values``; ``None`` means 1.
        avg_factor: Divisor; ``None`` takes the number of values, at least 1.

    Returns:
        Scalar; 0 with a graph for no values.
    """
    if weight is not None:
        values = values * weight
    if avg_factor is None:
        avg_factor = max(values.numel(), 1)
    return values.sum() / avg_factor


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a value over the processes, as float32, without gradient.

    Losses are averaged over the processes by DDP; dividing each by the mean count
    (:func:`mean_count`) makes the result that of one process with the whole batch.

    Args:
        value: Of this process, of any shape.

    Returns:
        Of the same shape.
    """
    value = value.detach().float()
    if get_world_size() > 1:
        value = value.clone()
        all_reduce(value, 'mean')
    return value


def mean_count(count: Tensor) -> Tensor:
    """Mean of a count over the processes, for dividing by.

    Args:
        count: Scalar, what this process has of it.

    Returns:
        Scalar; the total over all processes counts as 1 at least.
    """
    return mean_over_ranks(count).clamp(min=1 / get_world_size())


class LossNormalizer(NamedTuple):
    """How the sum of a loss over locations becomes a mean over positives.

    Attributes:
        weight: (N, P) weight of every location, or ``None`` for 1.
        avg_factor: Divisor of the weighted sum.
    """

    weight: Tensor | None
    avg_factor: Tensor | int

    def at(self, chosen: Tensor, per_distance: bool = False) -> dict:
        """Arguments of a loss over all locations that counts the chosen ones.

        Args:
            chosen: (N, P) bool.
            per_distance: For a loss over both distances (or offsets) of a location.

        Returns:
            ``weight``, 0 where not chosen, (N * P,) or (N * P, 2) with
            ``per_distance``; and ``avg_factor``.
        """
        weight = chosen.float() if self.weight is None else self.weight * chosen
        weight = weight.flatten()
        if per_distance:
            weight = weight[:, None].expand(-1, 2)
        return dict(weight=weight, avg_factor=self.avg_factor)

    def everywhere(self) -> dict:
        """Arguments of a loss over all locations, flattened to (N * P,)."""
        weight = None if self.weight is None else self.weight.flatten()
        return dict(weight=weight, avg_factor=self.avg_factor)


def loss_normalizer(positive: Tensor, normalize_by: str) -> LossNormalizer:
    """Builds the normaliser of the losses over (refined) positives.

    Args:
        positive: (N, P) bool.
        normalize_by: ``'batch'`` divides by the positives of the whole batch, at
            least 1; ``'clip'`` divides every clip by its own, at least 1, and
            averages over the clips, so that each clip has the same say.

    Returns:
        See :class:`LossNormalizer`.
    """
    if normalize_by == 'batch':
        return LossNormalizer(None, mean_count(positive.sum()))
    per_clip = positive.sum(dim=1, keepdim=True).clamp(min=1)
    weight = torch.ones_like(positive, dtype=torch.float32) / per_clip
    return LossNormalizer(weight, len(positive))


def check_normalizer(normalize_by: str) -> str:
    """Returns the value or raises a ValueError that names the choices."""
    if normalize_by not in NORMALIZERS:
        raise ValueError(f'normalize_by={normalize_by!r}: choose from {NORMALIZERS}')
    return normalize_by


def keep_chosen(chosen: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Sets what was not chosen to 0, so that neither it nor its gradient can be NaN.

    To pick the chosen ones would make a GPU wait until it is known how many there are.

    Args:
        chosen: (N, P) bool.
        values: (N, P, ...).

    Returns:
        For each of the values (N * P, ...).
    """
    return tuple(
        value.masked_fill(
            ~chosen.view(*chosen.shape, *[1] * (value.ndim - 2)), 0.0
        ).flatten(0, 1)
        for value in values
    )
