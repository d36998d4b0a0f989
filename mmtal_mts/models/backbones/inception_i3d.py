from __future__ import annotations

from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .i3d_layers import InceptionBlock, SameMaxPool3d, Unit3D

# Kernel and stride of every pooling, in network order with the other stages.
_POOLS = {
    'MaxPool3d_2a_3x3': ((1, 3, 3), (1, 2, 2)),
    'MaxPool3d_3a_3x3': ((1, 3, 3), (1, 2, 2)),
    'MaxPool3d_4a_3x3': ((3, 3, 3), (2, 2, 2)),
    'MaxPool3d_5a_2x2': ((2, 2, 2), (2, 2, 2)),
}
# Widths of b0, b1a, b1b, b2a, b2b, b3b (Inception v1).
_MIXED = {
    'Mixed_3b': (64, 96, 128, 16, 32, 32),
    'Mixed_3c': (128, 128, 192, 32, 96, 64),
    'Mixed_4b': (192, 96, 208, 16, 48, 64),
    'Mixed_4c': (160, 112, 224, 24, 64, 64),
    'Mixed_4d': (128, 128, 256, 24, 64, 64),
    'Mixed_4e': (112, 144, 288, 32, 64, 64),
    'Mixed_4f': (256, 160, 320, 32, 128, 128),
    'Mixed_5b': (256, 160, 320, 32, 128, 128),
    'Mixed_5c': (384, 192, 384, 48, 128, 128),
}
_STAGES = (
    'Conv3d_1a_7x7',
    'MaxPool3d_2a_3x3',
    'Conv3d_2b_1x1',
    'Conv3d_2c_3x3',
    'MaxPool3d_3a_3x3',
    'Mixed_3b',
    'Mixed_3c',
    'MaxPool3d_4a_3x3',
    'Mixed_4b',
    'Mixed_4c',
    'Mixed_4d',
    'Mixed_4e',
    'Mixed_4f',
    'MaxPool3d_5a_2x2',
    'Mixed_5b',
    'Mixed_5c',
)


@MODELS.register_module()
class InceptionI3D(BaseModule):
    """I3D (Inception v1 inflated to 3-D), the paper's feature extractor.

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
        pretrained: File or URL of an I3D state dict; ``None`` trains from scratch.
        channels_last: Run on channels-last tensors, which is 1.5 to 2 times as fast
            on CPUs. The values are the same.
        with_cp: Trade time for memory in training: activations inside a stage are
            computed again in the backward pass. Needs ``freeze_bn``, because the
            second pass would update running statistics once more.
        init_cfg: MMEngine initialisation config.
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
        unknown = set(out_indices) - set(_STAGES)
        if unknown or not out_indices:
            raise ValueError(
                f'out_indices={list(out_indices)} of InceptionI3D: choose from '
                f'{list(_STAGES)}'
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
        self.stage_channels: dict[str, int] = {}

        last = max(_STAGES.index(name) for name in out_indices)
        self.stages = _STAGES[: last + 1]
        channels = in_channels
        for name in self.stages:
            stage, channels = self._build_stage(name, channels, width, bn_momentum)
            self.add_module(name, stage)
            self.stage_channels[name] = channels
        self._freeze_norms()

    @staticmethod
    def _build_stage(
        name: str, channels: int, width: float, bn_momentum: float
    ) -> tuple[nn.Module, int]:
        def scaled(value: int) -> int:
            # CPU and GPU kernels are fast for multiples of 8 channels, as all of the
            # published widths are.
            return max(8 * round(value * width / 8), 8)

        if name in _POOLS:
            return SameMaxPool3d(*_POOLS[name]), channels
        if name in _MIXED:
            widths = [scaled(value) for value in _MIXED[name]]
            block = InceptionBlock(channels, widths, bn_momentum)
            return block, block.out_channels
        out, kernel, stride = {
            'Conv3d_1a_7x7': (scaled(64), (7, 7, 7), (2, 2, 2)),
            'Conv3d_2b_1x1': (scaled(64), (1, 1, 1), (1, 1, 1)),
            'Conv3d_2c_3x3': (scaled(192), (3, 3, 3), (1, 1, 1)),
        }[name]
        return Unit3D(channels, out, kernel, stride, bn_momentum), out

    @property
    def out_channels(self) -> tuple[int, ...]:
        """Channels of the returned endpoints."""
        return tuple(self.stage_channels[name] for name in self.out_indices)

    def init_weights(self) -> None:
        """Initialises as ``init_cfg`` says, then loads ``pretrained``.

        Raises:
            ValueError: The file has no weight in common with the network, or some
                tensor has another shape.
        """
        super().init_weights()
        if self.pretrained is not None:
            self.load_kinetics_weights(self.pretrained)

    def load_kinetics_weights(self, filename: str) -> list[str]:
        """Loads an I3D state dict by its own key names.

        Args:
            filename: Path or URL of the state dict, or of a checkpoint that has one
                under ``state_dict``.

        Returns:
            The keys of this network that the file does not have.

        Raises:
            ValueError: See :meth:`init_weights`.
        """
        loaded = CheckpointLoader.load_checkpoint(filename, map_location='cpu')
        state = loaded.get('state_dict', loaded)
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        own = self.state_dict()
        wrong = [
            f'{key}: {tuple(state[key].shape)} there, {tuple(own[key].shape)} here'
            for key in own
            if key in state and state[key].shape != own[key].shape
        ]
        missing = [
            key
            for key in own
            if key not in state and not key.endswith('num_batches_tracked')
        ]
        if wrong or len(missing) == len(
            [k for k in own if not k.endswith('num_batches_tracked')]
        ):
            detail = '; '.join(wrong[:5]) or 'no key in common'
            raise ValueError(
                f'{filename} does not fit InceptionI3D(in_channels='
                f'{self.in_channels}): {detail}. RGB weights need in_channels=3, '
                'flow weights in_channels=2, and published weights width=1'
            )
        self.load_state_dict(state, strict=False)
        logger = MMLogger.get_current_instance()
        unused = sorted(set(state) - set(own))
        logger.info(
            'InceptionI3D: %d of %d tensors loaded from %s; not found: %s; unused: %s',
            len(set(state) & set(own)),
            len(own),
            filename,
            missing or 'none',
            unused or 'none',
        )
        return missing

    def train(self, mode: bool = True) -> InceptionI3D:
        """Sets the mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        self._freeze_norms()
        return self

    def _freeze_norms(self) -> None:
        """Freezes the batch norms if asked to.

        From the start, too: the wrapper of distributed training, which is there before
        the training begins, waits for the gradient of whatever requires one.
        """
        if not self.freeze_bn:
            return
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()
                module.weight.requires_grad_(False)
                module.bias.requires_grad_(False)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Runs the network up to the last wanted endpoint.

        Args:
            frames: (N, C, T, H, W) frames in [-1, 1].

        Returns:
            One map per name in ``out_indices``; ``Mixed_4f`` is
            (N, 832, T/4, H/16, W/16), ``Mixed_5c`` (N, 1024, T/8, H/32, W/32).
        """
        outputs = {}
        x = frames
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        saves_memory = self.with_cp and self.training
        for name in self.stages:
            stage = getattr(self, name)
            x = checkpoint(stage, x, use_reentrant=False) if saves_memory else stage(x)
            outputs[name] = x
        return tuple(outputs[name] for name in self.out_indices)
