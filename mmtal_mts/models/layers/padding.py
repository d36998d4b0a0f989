"""Dynamic SAME padding of a map."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from ...ops import same_padding


def pad_same(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """Splits SAME padding into what a convolution can do itself and the rest.

    A convolution pads both sides alike for free. Only where the two sides differ
    does the tensor have to be copied into a larger one.

    Args:
        x: (N, C, *axes).
        kernel: Kernel size per axis.
        stride: Stride per axis.

    Returns:
        The tensor (padded only where the sides differ) and the symmetric padding
        per axis that is left to the convolution.
    """
    pads = [same_padding(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride)]
    if all(front == behind for front, behind in pads):
        return x, tuple(front for front, _ in pads)
    flat = [side for pair in reversed(pads) for side in pair]
    return F.pad(x, flat), (0,) * len(pads)
