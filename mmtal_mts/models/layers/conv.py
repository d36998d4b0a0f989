"""Convolutions with dynamic SAME padding, and the fast layout of maps on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """SAME padding in front of and behind one axis, the TensorFlow rule.

    The output has ``ceil(size / stride)`` positions.

    Args:
        size: Positions on the axis.
        kernel: Kernel size.
        stride: Stride.

    Returns:
        ``(front, behind)``; ``behind`` is ``front`` or ``front + 1``.
    """
    size = int(size)  # a tensor while torch.jit traces, as export to ONNX does
    total = max(kernel - (size % stride or stride), 0)
    return total // 2, total - total // 2


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
        The tensor, and the padding per axis that is left to the convolution.
    """
    pads = [
        same_padding(n, k, s)
        for n, k, s in zip(x.shape[2:], kernel, stride, strict=True)
    ]
    if all(front == behind for front, behind in pads):
        return x, tuple(front for front, _ in pads)
    flat = [side for pair in reversed(pads) for side in pair]
    return F.pad(x, flat), (0,) * len(pads)


def contiguous_like(x: Tensor, like: Tensor) -> Tensor:
    """``x`` (N, C, T, H, W) without gaps, channels-last if ``like`` is, or a part."""
    if like.stride(1) == 1:
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
    if x.stride(1) != 1:
        return F.conv3d(x, weight, bias)
    rows = F.linear(x.permute(0, 2, 3, 4, 1), weight.flatten(1), bias)
    return rows.permute(0, 4, 1, 2, 3)


class SameConv1d(nn.Conv1d):
    """1-D convolution with dynamic SAME padding: (N, C, T) -> (N, C', ceil(T/s))."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T) -> (N, C', ceil(T / stride))."""
        x, padding = pad_same(x, self.kernel_size, self.stride)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding)

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The convolution on every level of a pyramid in one call.

        The short levels would cost more in calls than in arithmetic. They are joined
        with the zeros between them that SAME padding would put there.

        Args:
            levels: L tensors (N, C, T_l), which become (N, C', T_l) at stride 1.
        """
        gap = levels[0].new_zeros(*levels[0].shape[:2], self.kernel_size[0] // 2)
        parts = [part for level in levels for part in (level, gap)][:-1]
        joined = self(torch.cat(parts, dim=2))
        return joined.split([part.shape[2] for part in parts], dim=2)[::2]


class ZeroConv1d(SameConv1d):
    """A convolution that starts at zero, whatever the head's ``init_cfg``."""

    def init_weights(self) -> None:
        """Called by MMEngine after the ``init_cfg`` of the head was applied."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class ConvNormReLU1d(nn.Module):
    """SAME 1-D convolution, group normalisation, ReLU: AFSD's 1-D unit.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Kernel size.
        stride: Stride.
        num_groups: Groups of the normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        num_groups: int = 32,
    ) -> None:
        super().__init__()
        self.conv = SameConv1d(in_channels, out_channels, kernel_size, stride)
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T) -> (N, C', ceil(T / stride))."""
        return F.relu(self.norm(self.conv(x)))

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The unit on L levels (N, C, T_l) at stride 1, normalised level by level."""
        return tuple(F.relu(self.norm(x)) for x in self.conv.forward_levels(levels))
