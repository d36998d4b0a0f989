"""I3D (Inception v1 inflated to 3-D): units, pooling, blocks and the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..layers import contiguous_like, pad_same, pointwise_conv3d, same_padding
from .pretrained import load_pretrained

# Stages in network order. Convolutions: width, kernel and stride; poolings: kernel and
# stride; blocks: widths of b0, b1a, b1b, b2a, b2b, b3b (Inception v1).
_STAGES = {
    'Conv3d_1a_7x7': (64, (7, 7, 7), (2, 2, 2)),
    'MaxPool3d_2a_3x3': ((1, 3, 3), (1, 2, 2)),
    'Conv3d_2b_1x1': (64, (1, 1, 1), (1, 1, 1)),
    'Conv3d_2c_3x3': (192, (3, 3, 3), (1, 1, 1)),
    'MaxPool3d_3a_3x3': ((1, 3, 3), (1, 2, 2)),
    'Mixed_3b': (64, 96, 128, 16, 32, 32),
    'Mixed_3c': (128, 128, 192, 32, 96, 64),
    'MaxPool3d_4a_3x3': ((3, 3, 3), (2, 2, 2)),
    'Mixed_4b': (192, 96, 208, 16, 48, 64),
    'Mixed_4c': (160, 112, 224, 24, 64, 64),
    'Mixed_4d': (128, 128, 256, 24, 64, 64),
    'Mixed_4e': (112, 144, 288, 32, 64, 64),
    'Mixed_4f': (256, 160, 320, 32, 128, 128),
    'MaxPool3d_5a_2x2': ((2, 2, 2), (2, 2, 2)),
    'Mixed_5b': (256, 160, 320, 32, 128, 128),
    'Mixed_5c': (384, 192, 384, 48, 128, 128),
}


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
        conv = self.conv3d
        weight, bias = self.folded() if self.frozen else (conv.weight, None)
        if set(conv.kernel_size + conv.stride) == {1}:
            y = pointwise_conv3d(x, weight, bias)
        else:
            padded, padding = pad_same(x, conv.kernel_size, conv.stride)
            y = F.conv3d(padded, weight, bias, conv.stride, padding)
            # Small maps may have lost the layout, and all behind them would be slow.
            y = contiguous_like(y, x)
        return y if self.frozen else self.bn(y)


class SameMaxPool3d(nn.Module):
    """Max pooling with SAME padding over non-negative maps.

    I3D pads with zeros, but only ever pools after a ReLU, where a zero never beats
    the maximum of the real values: padding that never wins gives the same map and
    needs no copy.

    Args:
        kernel_size: Kernel over (T, H, W).
        stride: Stride over (T, H, W), at most the kernel.
    """

    def __init__(self, kernel_size: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        self.kernel_size = tuple(kernel_size)
        self.stride = tuple(stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, C, ceil(T/s), ceil(H/s), ceil(W/s))."""
        axes = zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        front = [same_padding(n, k, s)[0] for n, k, s in axes]
        # ceil_mode adds the one position behind that SAME padding may have more.
        return F.max_pool3d(x, self.kernel_size, self.stride, front, ceil_mode=True)


class InceptionBlock(nn.Module):
    """Four parallel branches, concatenated in the order b0, b1, b2, b3.

    Args:
        in_channels: Channels of the input.
        widths: Output channels of b0, b1a, b1b, b2a, b2b, b3b.
        bn_momentum: Momentum of the running statistics.
    """

    def __init__(
        self, in_channels: int, widths: Iterable[int], bn_momentum: float = 0.01
    ) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        cube, unit = (3, 3, 3), partial(Unit3D, bn_momentum=bn_momentum)
        self.b0 = unit(in_channels, b0)
        self.b1a = unit(in_channels, b1a)
        self.b1b = unit(b1a, b1b, cube)
        self.b2a = unit(in_channels, b2a)
        self.b2b = unit(b2a, b2b, cube)
        self.b3a = SameMaxPool3d(cube, (1, 1, 1))
        self.b3b = unit(in_channels, b3b)
        self.out_channels = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, out_channels, T, H, W)."""
        units = (self.b0, self.b1a, self.b2a)
        if all(unit.frozen for unit in units):
            # The three 1x1 convolutions of the input run as one.
            weights, biases = zip(*(unit.folded() for unit in units), strict=True)
            joined = pointwise_conv3d(x, torch.cat(weights), torch.cat(biases))
            b0, b1a, b2a = joined.split([len(bias) for bias in biases], dim=1)
        else:
            b0, b1a, b2a = (unit.before_relu(x) for unit in units)
        b1b = self.b1b.before_relu(F.relu(b1a))
        b2b = self.b2b.before_relu(F.relu(b2a))
        b3b = self.b3b.before_relu(self.b3a(x))
        # One ReLU behind all branches: the backward pass needs its result, which the
        # next layer keeps anyway, and none of the branches'.
        return F.relu(torch.cat([b0, b1b, b2b, b3b], dim=1), inplace=True)


@MODELS.register_module()
class InceptionI3D(BaseModule):
    """I3D, the paper's feature extractor.

    Carreira and Zisserman, "Quo Vadis, Action Recognition?". The state dict has the
    key names of the widely used PyTorch port, so that its Kinetics weights load as
    they are.

    Args:
        in_channels: 3 for RGB, 2 for optical flow.
        width: Multiplier of every width, 1 for the published network. The tiny
            models of the quick start are this network at a fraction of the width.
            Widths are rounded to multiples of 8; see :attr:`out_channels`.
        out_indices: Names of the endpoints to return, in network order.
        freeze_bn: Keep running statistics **and** affine parameters of every batch
            norm fixed in training, as AFSD does. Only sensible with pretrained
            weights.
        bn_momentum: Momentum of the running statistics.
        pretrained: File or URL of an I3D state dict; None trains from scratch.
        channels_last: Run on channels-last tensors, which is 1.5 to 2 times as fast
            on CPUs. The values are the same.
        with_cp: Trade time for memory in training: activations inside a stage are
            computed again in the backward pass. Needs ``freeze_bn``, because the
            second pass would update running statistics once more.
        init_cfg: MMEngine initialisation config.

    Attributes:
        out_channels (tuple[int, ...]): Channels of the returned endpoints.
    """

    def __init__(
        self,
        in_channels: int = 3,
        width: float = 1.0,
        out_indices: Sequence[str] = ('Mixed_4f', 'Mixed_5c'),
        freeze_bn: bool = False,
        bn_momentum: float = 0.01,
        pretrained: str | None = None,
        channels_last: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        names = list(_STAGES)
        if not out_indices or set(out_indices) - set(names):
            raise ValueError(
                f'out_indices={list(out_indices)} of InceptionI3D: choose from {names}'
            )
        if with_cp and not freeze_bn:
            raise ValueError(
                'with_cp=True of InceptionI3D needs freeze_bn=True: the second forward '
                'pass would update the running statistics once more'
            )
        self.with_cp = with_cp
        self.in_channels = in_channels
        self.out_indices = tuple(out_indices)
        self.freeze_bn = freeze_bn
        self.pretrained = pretrained
        self.channels_last = channels_last

        def scaled(value: int) -> int:
            # Kernels are fast for multiples of 8 channels, as all published widths are.
            return max(8 * round(value * width / 8), 8)

        self.stages = names[: max(map(names.index, out_indices)) + 1]
        channels, widths = in_channels, {}
        for name in self.stages:
            settings = _STAGES[name]
            if name.startswith('MaxPool'):
                stage = SameMaxPool3d(*settings)
            elif name.startswith('Mixed'):
                stage = InceptionBlock(channels, map(scaled, settings), bn_momentum)
                channels = stage.out_channels
            else:
                out, *sizes = settings
                stage = Unit3D(channels, scaled(out), *sizes, bn_momentum)
                channels = scaled(out)
            self.add_module(name, stage)
            widths[name] = channels
        self.out_channels = tuple(widths[name] for name in self.out_indices)
        self._freeze_norms()

    def init_weights(self) -> None:
        """Initialises as ``init_cfg`` says, then loads ``pretrained``.

        Raises:
            UserError: The file is unusable or does not fit the network.
        """
        super().init_weights()
        if self.pretrained is not None:
            load_pretrained(self, self.pretrained)

    def train(self, mode: bool = True) -> InceptionI3D:
        """Sets the mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        self._freeze_norms()
        return self

    def _freeze_norms(self) -> None:
        # From the start, too: the wrapper of distributed training, which is there
        # before training begins, waits for the gradient of whatever requires one.
        for module in self.modules() if self.freeze_bn else ():
            if isinstance(module, nn.BatchNorm3d):
                module.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Runs the network up to the last wanted endpoint.

        Args:
            frames: (N, C, T, H, W) frames in [-1, 1].

        Returns:
            One map per name in ``out_indices``; ``Mixed_4f`` is
            (N, 832, T/4, H/16, W/16), ``Mixed_5c`` (N, 1024, T/8, H/32, W/32).
        """
        outputs, x = {}, frames
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        saves_memory = self.with_cp and self.training
        for name in self.stages:
            stage = getattr(self, name)
            x = checkpoint(stage, x, use_reentrant=False) if saves_memory else stage(x)
            outputs[name] = x
        return tuple(outputs[name] for name in self.out_indices)
