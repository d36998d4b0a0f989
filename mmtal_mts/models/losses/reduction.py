from __future__ import annotations

from torch import Tensor


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
