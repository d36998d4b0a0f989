from __future__ import annotations

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


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
