from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .padding import pad_same


class SameConv1d(nn.Conv1d):
    """1-D convolution with dynamic SAME padding: (N, C, T) -> (N, C', ceil(T/s))."""

    def forward(self, x: Tensor) -> Tensor:
        x, padding = pad_same(x, self.kernel_size, self.stride)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding)

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The convolution on every level of a pyramid in one call.

        The short levels would cost more in calls than in arithmetic. They are joined
        with the zeros between them that SAME padding would put there.

        Args:
            levels: L tensors (N, C, T_l). The stride must be 1.

        Returns:
            L tensors (N, C', T_l).
        """
        gap = levels[0].new_zeros(*levels[0].shape[:2], self.kernel_size[0] // 2)
        parts = [part for level in levels for part in (level, gap)][:-1]
        joined = self(torch.cat(parts, dim=2))
        outputs = joined.split([part.shape[2] for part in parts], dim=2)
        return outputs[::2]


class ConvNormReLU1d(nn.Module):
    """SAME 1-D convolution, group normalisation, ReLU: AFSD's 1-D unit.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Kernel size. Defaults to 3.
        stride: Stride. Defaults to 1.
        num_groups: Groups of the normalisation. Defaults to 32.
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
        """The unit on every level of a pyramid, normalised level by level.

        Args:
            levels: L tensors (N, C, T_l). The stride must be 1.

        Returns:
            L tensors (N, C', T_l).
        """
        return tuple(F.relu(self.norm(x)) for x in self.conv.forward_levels(levels))
