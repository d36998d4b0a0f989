"""Maps whose channels lie side by side, the fast layout of convolutions on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a cell of (N, C, T, H, W) lie side by side.

    True also for some of the channels of a channels-last map.
    """
    return x.stride(1) == 1


def contiguous_like(x: Tensor, like: Tensor) -> Tensor:
    """``x`` (N, C, T, H, W) without gaps, channels-last if ``like`` is."""
    if is_channels_last(like):
        return x.contiguous(memory_format=torch.channels_last_3d)
    return x.contiguous()


def pointwise_conv3d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution with a kernel of one cell and stride 1.

    Channels-last maps are already the rows of a matrix. Torch's convolution would
    often leave that layout here (on a CPU with one thread and one clip), and every
    layer behind it would be slow.

    Args:
        x: (N, C, T, H, W).
        weight: (C', C, 1, 1, 1).
        bias: (C',) or None.

    Returns:
        (N, C', T, H, W) in the layout of ``x``.
    """
    if not is_channels_last(x):
        return F.conv3d(x, weight, bias)
    rows = F.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1), bias)
    return rows.permute(0, 4, 1, 2, 3)
