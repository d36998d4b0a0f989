from __future__ import annotations

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a count over the processes, as float32.

    Losses are averaged over the processes by DDP; dividing each by the mean count
    makes the result that of one process with the whole batch.

    Args:
        value: Scalar count of this process.

    Returns:
        Scalar.
    """
    value = value.detach().float()
    if get_world_size() > 1:
        value = value.clone()
        all_reduce(value, 'mean')
    return value
