"""Any backbone of MMAction2 in front of the TAL-MTS neck."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .pretrained import load_pretrained


class MapFacts(NamedTuple):
    """What a neck has to know about a map, and how the map is made.

    Attributes:
        channels: Channels C_i.
        stride: Frames per position in time.
        size: Cells H_i = W_i on a side.
        index: Output of the backbone that it is made of.
        kernel: Positions in time, rows and columns that are averaged into one.
    """

    channels: int
    stride: int
    size: int
    index: int = 0
    kernel: tuple[int, int, int] = (1, 1, 1)


@MODELS.register_module()
class BackboneAdapter(BaseModule):
    """Lets any backbone of MMAction2 feed the temporal pyramid.

    A dry run of one clip finds what the backbone takes (clips, or single frames) and
    returns: channels, frames per position, cells on a side. Map i of the pyramid has
    one position per ``first_stride * 2**i`` frames; finer maps are averaged over time
    until they have, and over space until they have at most ``max_size`` cells on a
    side. The neck takes its ``in_channels``, ``spatial_sizes`` and ``first_stride``
    from :attr:`maps` where they are None. The log says what was found and done.

    Args:
        backbone: Config of the backbone. Its own options (``frozen_stages``,
            ``norm_eval``, ``with_cp``, ``out_indices``) work as always.
        clip_len: Frames T of a clip.
        crop_size: Side of the frames in pixels.
        in_channels: Channels of a frame.
        first_stride: Frames per position of the finest map; a power of two. None:
            as few as the backbone allows.
        chunk_len: Cut the clip into chunks of this many frames that pass the backbone
            one by one, for backbones of a fixed or short length (VideoMAE: 16). None:
            the whole clip at once.
        layers: Names of submodules whose outputs are the maps, e.g.
            ``('conv4b', 'conv5b')``; layers after the last of them do not run. None:
            what the backbone returns.
        outputs: Which of these maps to use, by index. None: all.
        max_size: Most cells on a side that a map keeps.
        pretrained: File or URL of weights: of a recogniser that MMAction2 trained, or
            of the backbone alone. None: the backbone's own initialisation.
        frozen: Names of submodules that stay as they are, for backbones without
            ``frozen_stages``; True for all.
        with_cp: Activation checkpointing for backbones that have no such option: the
            activations of a chunk are computed again in the backward pass.
        init_cfg: MMEngine initialisation config.

    Attributes:
        maps (tuple[MapFacts, ...]): What :meth:`forward` returns.
        report (str): What was found and is done, as in the log.

    Raises:
        ValueError: The backbone cannot take such clips, returns nothing usable, or is
            too coarse in time.
    """

    def __init__(
        self,
        backbone: dict,
        clip_len: int,
        crop_size: int,
        in_channels: int = 3,
        first_stride: int | None = 4,
        chunk_len: int | None = None,
        layers: Sequence[str] | None = None,
        outputs: Sequence[int] | None = None,
        max_size: int = 8,
        pretrained: str | None = None,
        frozen: bool | Sequence[str] = (),
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.name = type(self.backbone).__name__
        self.in_channels = in_channels
        self.chunk_len = chunk_len
        self.pretrained = pretrained
        self.with_cp = with_cp
        self.layers = tuple(layers or ())
        self.frozen = ('',) if frozen is True else tuple(frozen or ())
        known = dict(self.backbone.named_modules())
        for field, names in dict(layers=self.layers, frozen=self.frozen).items():
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f'{field}={list(names)} of BackboneAdapter: {self.name} has no '
                    f'{unknown}; it has '
                    f'{[name for name, _ in self.backbone.named_children()]}'
                )
        if chunk_len is not None and (chunk_len < 1 or clip_len % chunk_len):
            raise ValueError(
                f'chunk_len={chunk_len} of BackboneAdapter must divide '
                f'clip_len={clip_len}'
            )
        if with_cp and chunk_len is None:
            raise ValueError(
                'with_cp=True of BackboneAdapter needs chunk_len, to compute chunk by '
                'chunk again; or set with_cp=True of the backbone, if it has it'
            )
        clip = (in_channels, clip_len, crop_size, crop_size)
        shapes, unused = self._probe(clip)
        self.maps = self._plan(shapes, clip_len, first_stride, max_size, outputs)
        for key in unused:  # or distributed training would wait for their gradients
            self.backbone.get_parameter(key).requires_grad_(False)
        self._freeze()
        how = 'frame by frame' if self.per_frame else 'whole'
        if self.chunk_len is not None and not self.per_frame:
            how = f'in {clip_len // chunk_len} chunks of {chunk_len} frames'
        self.report = (
            f'BackboneAdapter: {self.name} takes a clip of {clip_len} frames '
            f'{crop_size}x{crop_size} {how}'
        )
        for level, facts in enumerate(self.maps):
            self.report += f'\n  level {level}: {facts}'
        if self.frozen:
            self.report += f'\n  frozen: {", ".join(self.frozen) or "everything"}'
        if unused:
            self.report += f'\n  {len(unused)} tensors are in no map and do not train: '
            self.report += ', '.join(unused[:4]) + ', ...' * (len(unused) > 4)
        MMLogger.get_current_instance().info(self.report)

    def init_weights(self) -> None:
        """Initialises the backbone, then loads ``pretrained``.

        Raises:
            UserError: The file is unusable or does not fit the backbone.
        """
        super().init_weights()
        if self.pretrained is not None:
            load_pretrained(self.backbone, self.pretrained)

    def train(self, mode: bool = True) -> BackboneAdapter:
        """Sets the mode; what is ``frozen`` stays in evaluation mode.

        Raises:
            ValueError: ``with_cp`` with batch norms that would be updated twice.
        """
        super().train(mode)
        self._freeze()
        for key, module in self.backbone.named_modules() if self.with_cp else ():
            if isinstance(module, _BatchNorm) and module.training:
                raise ValueError(
                    f'with_cp=True of BackboneAdapter runs {key} of the backbone '
                    'twice, which would update its running statistics once more; '
                    'set norm_eval=True of the backbone'
                )
        return self

    def _freeze(self) -> None:
        for name in self.frozen:
            module = self.backbone.get_submodule(name)
            module.eval()  # None for some backbones of MMAction2
            module.requires_grad_(False)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Runs the backbone and pools its maps.

        Args:
            frames: (N, C, T, H, W) normalised frames.

        Returns:
            Maps (N, C_i, T_i, H_i, W_i) as in :attr:`maps`, finest first.

        Raises:
            ValueError: The clip does not divide into chunks.
        """
        if self.with_cp and self.training:
            parts = [
                checkpoint(self._run, self.backbone, chunk, use_reentrant=False)
                for chunk in frames.split(self.chunk_len, dim=2)
            ]
            found = [torch.cat(chunks, dim=2) for chunks in zip(*parts, strict=True)]
        else:
            found = self._run(self.backbone, frames)
        return tuple(F.avg_pool3d(found[m.index], m.kernel) for m in self.maps)

    def _run(self, backbone: nn.Module, frames: Tensor) -> list[Tensor]:
        """All maps of the backbone as (N, C_i, T_i, H_i, W_i)."""
        n, _, t = frames.shape[:3]
        length = 1 if self.per_frame else self.chunk_len or t
        if t % length:
            raise ValueError(
                f'the clip has {t} frames, no multiple of chunk_len={length} of '
                'BackboneAdapter'
            )
        chunks = frames.unflatten(2, (t // length, length))
        chunks = chunks.transpose(1, 2).flatten(0, 1)  # (N*chunks, C, length, H, W)
        chunks = chunks.squeeze(2) if self.per_frame else chunks
        found = _run_layers(backbone, self.layers, chunks)
        for x in found or [None]:
            if not isinstance(x, Tensor) or x.ndim not in (2, 5 - self.per_frame):
                shape = f' of shape {tuple(x.shape)}' if isinstance(x, Tensor) else ''
                raise ValueError(
                    f'{self.name} returns a {type(x).__name__}{shape}; BackboneAdapter '
                    'needs maps (N, C, T, H, W), (N, C, H, W) per frame or vectors '
                    '(N, C). Take the outputs of some submodules by layers=(...), or '
                    'the option of the backbone that returns maps (VisionTransformer: '
                    'return_feat_map=True)'
                )
        # Vectors are used only where there are no maps.
        maps = [x for x in found if x.ndim > 2] or [x[..., None, None] for x in found]
        maps = [x[:, :, None] if x.ndim == 4 else x for x in maps]
        # (N*chunks, C, t, h, w) -> (N, C, chunks*t, h, w)
        whole = (x.unflatten(0, (n, t // length)).transpose(1, 2) for x in maps)
        return [x.flatten(2, 3) for x in whole]

    def _probe(self, clip: tuple[int, ...]) -> tuple[list[tuple[int, ...]], list[str]]:
        """Finds whether frames go in one by one; shapes of maps, unused parameters."""
        errors = {}
        # Without values (torch's meta device) it takes milliseconds for any size. What
        # has no such version runs with values; if it fails, that error counts.
        for self.per_frame, device in itertools.product((False, True), ('meta', 'cpu')):
            twin = copy.deepcopy(self.backbone).to(device)
            twin.eval()
            for module in twin.modules():
                module.with_cp = False  # checkpoints may hide who gets a gradient
            wanted = {n: p for n, p in twin.named_parameters() if p.requires_grad}
            try:
                maps = self._run(twin, torch.zeros(1, *clip, device=device))
                if wanted:
                    sum(x.sum() for x in maps).backward()
            # Libraries raise all kinds of errors about a shape.
            except Exception as error:
                reason = f'{type(error).__name__}: {error}'.splitlines()[0]
                errors[self.per_frame] = reason
            else:
                unused = [name for name, p in wanted.items() if p.grad is None]
                return [tuple(x.shape) for x in maps], unused
        _, t, h, w = clip
        raise ValueError(
            f'{self.name} takes neither a clip of {t} frames of {h}x{w} pixels '
            f'({errors[False]}) nor its frames one by one ({errors[True]}). A backbone '
            'that was built for a number of frames needs it as chunk_len of '
            'BackboneAdapter (num_segments of TSM must divide clip_len); for a short '
            'clip or small frames take earlier layers by layers=(...), or enlarge '
            'clip_len or crop_size'
        )

    def _plan(
        self,
        shapes: Sequence[tuple[int, ...]],
        clip_len: int,
        first_stride: int | None,
        max_size: int,
        outputs: Sequence[int] | None,
    ) -> tuple[MapFacts, ...]:
        """Chooses the averages that give map i one position per 2**i first strides."""
        outputs = list(range(len(shapes)) if outputs is None else outputs)
        if not outputs or not set(outputs) <= set(range(len(shapes))):
            raise ValueError(
                f'outputs={outputs} of BackboneAdapter: {self.name} returns '
                f'{len(shapes)} maps, numbered from 0'
            )
        chosen = sorted(outputs, key=lambda i: -shapes[i][2])  # stable

        def least_stride(positions: int) -> int:
            """The least power of two that leaves at most so many positions."""
            return 1 << (-(-clip_len // positions) - 1).bit_length()

        if first_stride is None:
            # As many positions as every map allows the first one.
            first_stride = least_stride(
                min(shapes[i][2] * 2**level for level, i in enumerate(chosen))
            )
        if first_stride < 1 or first_stride & (first_stride - 1):
            raise ValueError(
                f'first_stride={first_stride} of BackboneAdapter must be a power of two'
            )
        maps = []
        for level, index in enumerate(chosen):
            _, channels, found, height, width = shapes[index]
            stride, which = first_stride * 2**level, f'map {index} of {self.name}'
            length, rest = divmod(clip_len, stride)
            if rest or length < 1 or found % length:
                raise ValueError(
                    f'{which} has {found} positions in time for a clip of {clip_len} '
                    f'frames, from which no mean gives one per {stride} frames: let '
                    'clip_len be a multiple of that, set first_stride of '
                    f'BackboneAdapter to None or to at least {least_stride(found)}, '
                    'take a finer layer by layers=(...) or outputs=(...), or lower the '
                    'stride of the backbone in time'
                )
            if height != width:
                raise ValueError(
                    f'{which} has {height}x{width} cells; square ones are needed'
                )
            # The smallest mean that leaves at most max_size cells on a side.
            least = -(-height // max_size)
            shrink = next(k for k in range(least, height + 1) if height % k == 0)
            kernel = (found // length, shrink, shrink)
            maps.append(MapFacts(channels, stride, height // shrink, index, kernel))
        return tuple(maps)


class _Enough(Exception):
    """All wanted layers have run; what follows is not needed."""


def _run_layers(backbone: nn.Module, names: Sequence[str], clips: Tensor) -> list:
    """What the backbone returns, or the outputs of some of its layers, as one list."""
    if not names:
        return _flatten(backbone(clips))
    found: dict[str, Any] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        found[name] = output
        if len(found) == len(names):
            raise _Enough

    # Only while the forward pass runs: activation checkpointing may run a layer
    # again in the backward pass.
    with ExitStack() as hooks, suppress(_Enough):
        for name in names:
            layer = backbone.get_submodule(name)
            hooks.enter_context(layer.register_forward_hook(partial(keep, name)))
        backbone(clips)
    if missing := [name for name in names if name not in found]:
        raise ValueError(
            f'layers={list(names)}: {missing} did not run in the forward pass'
        )
    return _flatten([found[name] for name in names])


def _flatten(found: Any) -> list:
    """What a backbone returns, without its lists and without None."""
    if isinstance(found, (tuple, list)):
        return [x for item in found for x in _flatten(item)]
    return [] if found is None else [found]
