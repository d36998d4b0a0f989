from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .distributed import mean_count

NORMALIZERS = ('batch', 'clip')


class LossNormalizer(NamedTuple):
    """How the sum of a loss over locations becomes a mean over positives.

    Attributes:
        weight: (N, P) weight of every location, or ``None`` for 1.
        avg_factor: Divisor of the weighted sum.
    """

    weight: Tensor | None
    avg_factor: Tensor | int

    def at(self, chosen: Tensor) -> dict:
        """Arguments of a loss over all locations that counts the chosen ones.

        Args:
            chosen: (N, P) bool.

        Returns:
            ``weight`` (N * P,), 0 where not chosen, and ``avg_factor``.
        """
        weight = chosen.float() if self.weight is None else self.weight * chosen
        return dict(weight=weight.flatten(), avg_factor=self.avg_factor)

    def at_distances(self, chosen: Tensor) -> dict:
        """The same for a loss over both distances (or offsets) of a location.

        Args:
            chosen: (N, P) bool.

        Returns:
            ``weight`` (N * P, 2) and ``avg_factor``.
        """
        share = self.at(chosen)
        share['weight'] = share['weight'][:, None].expand(-1, 2)
        return share

    def everywhere(self) -> dict:
        """Arguments of a loss over all locations, flattened to (N * P,)."""
        weight = None if self.weight is None else self.weight.flatten()
        return dict(weight=weight, avg_factor=self.avg_factor)


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
        count = mean_count(positive.sum())
        return LossNormalizer(None, count)
    per_clip = positive.sum(dim=1, keepdim=True).clamp(min=1)
    weight = torch.ones_like(positive, dtype=torch.float32) / per_clip
    return LossNormalizer(weight, len(positive))


def check_normalizer(normalize_by: str) -> str:
    """Returns the value or raises a ValueError that names the choices."""
    if normalize_by not in NORMALIZERS:
        raise ValueError(f'normalize_by={normalize_by!r}: choose from {NORMALIZERS}')
    return normalize_by
