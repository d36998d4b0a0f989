"""Convolution unit, pooling and Inception block of I3D."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import same_max_pool3d
from ..layers import contiguous_like, pad_same, pointwise_conv3d


class Unit3D(nn.Module):
    """Convolution without bias, batch norm, ReLU; dynamic SAME padding.

    The attribute names are those of the widely used PyTorch I3D state dicts.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Kernel over (T, H, W).
        stride: Stride over (T, H, W).
        bn_momentum: Momentum of the running statistics.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int] = (1, 1, 1),
        stride: Sequence[int] = (1, 1, 1),
        bn_momentum: float = 0.01,
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(
            in_channels, out_channels, tuple(kernel_size), tuple(stride), bias=False
        )
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=bn_momentum)

    @property
    def frozen(self) -> bool:
        """Whether the batch norm is a fixed affine map: in testing, or frozen."""
        return not self.bn.training

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (C', C, kT, kH, kW) and bias (C',) of convolution and frozen norm.

        Gradients reach the weight of the convolution and the affine parameters of
        the norm as if both ran one after the other, but no activation is kept
        between them.
        """
        bn = self.bn
        scale = bn.weight * torch.rsqrt(bn.running_var + bn.eps)
        weight = self.conv3d.weight * scale.view(-1, 1, 1, 1, 1)
        return weight, bn.bias - bn.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C', ceil(T/s), ceil(H/s), ceil(W/s))."""
        return F.relu(self.before_relu(x), inplace=True)

    def before_relu(self, x: Tensor) -> Tensor:
        """The unit without its ReLU, of the same shape."""
        if self.frozen:
            return self._convolve(x, *self.folded())
        return self.bn(self._convolve(x, self.conv3d.weight, None))

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        conv = self.conv3d
        if set(conv.kernel_size + conv.stride) == {1}:
            return pointwise_conv3d(x, weight, bias)
        padded, padding = pad_same(x, conv.kernel_size, conv.stride)
        convolved = F.conv3d(padded, weight, bias, conv.stride, padding)
        # Small maps may have lost the layout, and all behind them would be slow.
        return contiguous_like(convolved, x)


class SameMaxPool3d(nn.Module):
    """Max pooling with SAME padding over non-negative maps.

    I3D pads with zeros, but only ever pools after a ReLU, where a zero never beats
    the maximum of the real values: padding that never wins gives the same map and
    needs no copy.

    Args:
        kernel_size: Kernel over (T, H, W).
        stride: Stride over (T, H, W).
    """

    def __init__(self, kernel_size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel_size = tuple(kernel_size)
        self.stride = tuple(stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, ceil(T/s), ceil(H/s), ceil(W/s))."""
        return same_max_pool3d(x, self.kernel_size, self.stride)


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated in the order b0, b1, b2, b3.

    Args:
        in_channels: Channels of the input.
        widths: Output channels of b0, b1a, b1b, b2a, b2b, b3b.
        bn_momentum: Momentum of the running statistics.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], bn_momentum: float = 0.01
    ) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        cube = (3, 3, 3)
        self.b0 = Unit3D(in_channels, b0, bn_momentum=bn_momentum)
        self.b1a = Unit3D(in_channels, b1a, bn_momentum=bn_momentum)
        self.b1b = Unit3D(b1a, b1b, cube, bn_momentum=bn_momentum)
        self.b2a = Unit3D(in_channels, b2a, bn_momentum=bn_momentum)
        self.b2b = Unit3D(b2a, b2b, cube, bn_momentum=bn_momentum)
        self.b3a = SameMaxPool3d(cube, (1, 1, 1))
        self.b3b = Unit3D(in_channels, b3b, bn_momentum=bn_momentum)
        self.out_channels = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, out_channels, T, H, W)."""
        b0, b1a, b2a = self._pointwise(x)
        b1b = self.b1b.before_relu(F.relu(b1a))
        b2b = self.b2b.before_relu(F.relu(b2a))
        b3b = self.b3b.before_relu(self.b3a(x))
        # One ReLU behind all branches: the backward pass needs its result, which the
        # next layer keeps anyway, and none of the branches'.
        return F.relu(torch.cat([b0, b1b, b2b, b3b], dim=1), inplace=True)

    def _pointwise(self, x: Tensor) -> Sequence[Tensor]:
        """The three 1x1 units of the input before ReLU; one call if all are frozen."""
        units = (self.b0, self.b1a, self.b2a)
        if not all(unit.frozen for unit in units):
            return [unit.before_relu(x) for unit in units]
        weights, biases = zip(*(unit.folded() for unit in units))
        joined = pointwise_conv3d(x, torch.cat(weights), torch.cat(biases))
        return joined.split([len(bias) for bias in biases], dim=1)
