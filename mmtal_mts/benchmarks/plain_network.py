"""The baseline network: AFSD written down as it reads, without any optimisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmtal_mts.models.layers import ConvNormReLU1d, SameConv1d
from mmtal_mts.ops import same_padding

_MIXED = ('3b', '3c', '4b', '4c', '4d', '4e', '4f', '5b', '5c')
_POOLS = {
    'MaxPool3d_2a_3x3': ((1, 3, 3), (1, 2, 2)),
    'MaxPool3d_3a_3x3': ((1, 3, 3), (1, 2, 2)),
    'MaxPool3d_4a_3x3': ((3, 3, 3), (2, 2, 2)),
    'MaxPool3d_5a_2x2': ((2, 2, 2), (2, 2, 2)),
}
_CONVS = {
    'Conv3d_1a_7x7': ((7, 7, 7), (2, 2, 2)),
    'Conv3d_2b_1x1': ((1, 1, 1), (1, 1, 1)),
    'Conv3d_2c_3x3': ((3, 3, 3), (1, 1, 1)),
}


def pad_explicitly(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Copies ``x`` (N, C, *axes) into a larger tensor with SAME padding."""
    sides: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride):
        sides = [*same_padding(size, k, s), *sides]
    return F.pad(x, sides)


class PlainUnit3D(nn.Module):
    """Padding, convolution, batch norm, ReLU; each makes a tensor of its own."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel=(1, 1, 1), stride=(1, 1, 1)
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(out_channels, eps=1e-3, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        x = pad_explicitly(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.bn(self.conv3d(x)))


class PlainMaxPool3d(nn.Module):
    """Padding with zeros, maximum."""

    def __init__(self, kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)

    def forward(self, x: Tensor) -> Tensor:
        padded = pad_explicitly(x, self.kernel, self.stride)
        return F.max_pool3d(padded, self.kernel, self.stride)


class PlainInception(nn.Module):
    """The four branches, one after the other."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = PlainUnit3D(in_channels, b0)
        self.b1a = PlainUnit3D(in_channels, b1a)
        self.b1b = PlainUnit3D(b1a, b1b, (3, 3, 3))
        self.b2a = PlainUnit3D(in_channels, b2a)
        self.b2b = PlainUnit3D(b2a, b2b, (3, 3, 3))
        self.b3a = PlainMaxPool3d((3, 3, 3), (1, 1, 1))
        self.b3b = PlainUnit3D(in_channels, b3b)

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(self.b3a(x)),
        ]
        return torch.cat(branches, dim=1)


class PlainI3D(nn.Module):
    """I3D without optimisation, of the widths of a given state dict.

    Args:
        state: State dict by the key names of the widely used PyTorch port.
        out_names: Endpoints to return.
    """

    def __init__(self, state: dict[str, Tensor], out_names: Sequence[str]) -> None:
        super().__init__()
        self.out_names = tuple(out_names)
        stages: dict[str, nn.Module] = {}
        for name, (kernel, stride) in _CONVS.items():
            out, channels = state[f'{name}.conv3d.weight'].shape[:2]
            stages[name] = PlainUnit3D(channels, out, kernel, stride)
        for name, (kernel, stride) in _POOLS.items():
            stages[name] = PlainMaxPool3d(kernel, stride)
        for name in (f'Mixed_{suffix}' for suffix in _MIXED):
            shapes = [
                state[f'{name}.{branch}.conv3d.weight'].shape
                for branch in ('b0', 'b1a', 'b1b', 'b2a', 'b2b', 'b3b')
            ]
            stages[name] = PlainInception(shapes[0][1], [s[0] for s in shapes])
        # "Conv3d_2b" comes after "MaxPool3d_2a": the number and letter are the order.
        for name in sorted(stages, key=lambda name: name.split('_')[1]):
            self.add_module(name, stages[name])
        self.load_state_dict(state)

    def train(self, mode: bool = True) -> PlainI3D:
        """Batch norms stay frozen, as AFSD has it."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval().requires_grad_(False)
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, C, T, H, W) -> the endpoints."""
        outputs = {}
        for name, stage in self.named_children():
            x = stage(x)
            outputs[name] = x
        return tuple(outputs[name] for name in self.out_names)


class PlainConv1d(SameConv1d):
    """SAME convolution that pads by copying and takes one level at a time."""

    def forward(self, x: Tensor) -> Tensor:
        x = pad_explicitly(x, self.kernel_size, self.stride)
        return F.conv1d(x, self.weight, self.bias, self.stride)

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self(level) for level in levels)


class PlainConvNormReLU1d(ConvNormReLU1d):
    """1-D unit that takes one level at a time."""

    def forward_levels(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return tuple(self(level) for level in levels)


_PLAIN = {SameConv1d: PlainConv1d, ConvNormReLU1d: PlainConvNormReLU1d}


def make_plain(model: nn.Module) -> nn.Module:
    """Takes the optimisations out of a detector with an I3D backbone, in place.

    Boundary pooling stays as it is: the published code has a compiled one as well.

    Args:
        model: A :class:`~mmtal_mts.models.TALMTS`.

    Returns:
        The same model; its results differ by float noise only.
    """
    backbone = model.backbone
    plain = PlainI3D(backbone.state_dict(), backbone.out_indices)
    model.backbone = plain.train(model.training)
    for module in model.modules():
        # Same parameters, another forward.
        module.__class__ = _PLAIN.get(type(module), type(module))
    return model
